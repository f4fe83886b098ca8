#include "profiles/stall_reasons.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace lcnn::profiles {

StallSamples StallSampler::sample(const std::function<void()>& work) {
  if (pauses_ > 0) throw std::runtime_error("stalls are not sampled in a pause: something is recorded or counted");
  return take(work);
}

void StallSampler::pause() {
  if (pauses_ == 0) disable();
  ++pauses_;
}

void StallSampler::resume() noexcept {
  if (--pauses_ == 0) enable();
}

std::string stall_name(std::string_view cupti_name) {
  constexpr std::string_view kPrefix = "smsp__pcsamp_warps_issue_stalled_";
  if (!cupti_name.starts_with(kPrefix) || cupti_name.ends_with("_not_issued")) return "";
  std::string name(cupti_name.substr(kPrefix.size()));
  std::ranges::replace(name, '_', ' ');
  return name;
}

std::string_view stall_meaning(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kMeanings{{
      {"long scoreboard", "global memory"},
      {"short scoreboard", "shared memory or special functions"},
      {"barrier", "other warps of the block"},
      {"membar", "a memory barrier"},
      {"math pipe throttle", "a busy arithmetic unit"},
      {"mio throttle", "the queue of shared memory and special functions"},
      {"lg throttle", "the queue of global memory"},
      {"tex throttle", "the queue of textures"},
      {"no instructions", "the instruction cache"},
      {"no instruction", "the instruction cache"},
      {"wait", "a fixed latency"},
      {"branch resolving", "a branch"},
      {"dispatch stall", "the dispatcher"},
      {"drain", "its last stores"},
      {"imc miss", "the constant cache"},
      {"sleeping", "a sleep"},
      {"not selected", "nothing: another warp was issued"},
  }};
  const auto found = std::ranges::find(kMeanings, name, &std::pair<std::string_view, std::string_view>::first);
  return found == kMeanings.end() ? name : found->second;
}

std::string to_text(const KernelStalls& stalls, std::size_t most) {
  if (stalls.samples == 0) return "no samples";
  std::vector<std::string> parts;
  for (const StallReason& reason : stalls.reasons) {
    if (parts.size() == most || reason.samples == 0) break;
    const double percent = 100.0 * static_cast<double>(reason.samples) / static_cast<double>(stalls.samples);
    parts.push_back(fmt::format("{:.0f}% {} ({})", percent, stall_meaning(reason.name), reason.name));
  }
  return parts.empty() ? "no stalls" : fmt::format("{}", fmt::join(parts, ", "));
}

nlohmann::ordered_json to_json(const StallSamples& samples) {
  nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
  for (const KernelStalls& kernel : samples.kernels) {
    nlohmann::ordered_json reasons = nlohmann::ordered_json::object();
    for (const StallReason& reason : kernel.reasons) reasons[reason.name] = reason.samples;
    kernels.push_back({{"kernel", kernel.kernel}, {"samples", kernel.samples}, {"stalled", reasons}});
  }
  return {{"kernels", kernels}, {"dropped_samples", samples.dropped}, {"unnamed_samples", samples.unnamed}};
}

}  // namespace lcnn::profiles
