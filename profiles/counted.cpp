#include "profiles/counted.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

namespace lcnn::profiles {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kShownKernels = 8, kShownReasons = 3;

json number(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

json counts_json(const CpuCounts& counts) {
  return {{"cycles", number(counts.cycles)}, {"instructions", number(counts.instructions)},
          {"cache_misses", number(counts.cache_misses)}};
}

bool any(const CpuCounts& counts) { return counts.cycles || counts.instructions || counts.cache_misses; }

// Counters of each range of the work, by its name.
std::map<std::string, Counters> counters_of_ranges(const Counted& counted) {
  std::map<std::string, std::vector<Counters>> kernels;
  for (const Counted::Kernel& kernel : counted.kernels) {
    if (!kernel.range.empty()) kernels[kernel.range].push_back(kernel.counters);
  }
  std::map<std::string, Counters> ranges;
  for (const auto& [range, counters] : kernels) ranges[range] = together(counters);
  return ranges;
}

}  // namespace

nlohmann::ordered_json to_json(const Counted& counted) {
  json kernels = json::array();
  for (const Counted::Kernel& kernel : counted.kernels) {
    kernels.push_back({{"kernel", kernel.name}, {"range", kernel.range}, {"registers_per_thread", kernel.registers}, {"counters", to_json(kernel.counters)},
                       {"bound", to_string(bound_of(kernel.counters))}});
  }
  json ranges = json::object();
  for (const auto& [range, counters] : counters_of_ranges(counted)) {
    ranges[range] = {{"counters", to_json(counters)}, {"bound", to_string(bound_of(counters))}};
  }
  return {{"time_us", counted.time_ns / 1e3},
          {"overhead", counted.overhead},
          {"least", {{"read_bytes", counted.least.read_bytes}, {"write_bytes", counted.least.write_bytes},
                     {"operations", counted.least.operations}, {"time_us", counted.least.time_ns / 1e3}, {"time_of", counted.least.time_of}}},
          {"cpu", counts_json(counted.cpu)},
          {"gpu", to_json(counted.gpu)},
          {"bound", to_string(bound_of(counted.gpu))},
          {"ranges", ranges},
          {"kernels", kernels},
          {"stalls", to_json(counted.stalls)}};
}

std::string to_text(const std::string& name, const Counted& counted) {
  std::string text = fmt::format("{}\n", name);
  if (counted.time_ns > 0) {
    text += fmt::format("  a run takes {:.1f} us, {:+.1f}% under the profiler", counted.time_ns / 1e3, 100 * counted.overhead);
    const std::string compared = time_comparison(counted.time_ns, counted.least);
    text += compared.empty() ? "\n" : fmt::format("; {}\n", compared);
    if (const std::string work = work_text(counted.time_ns, counted.least); !work.empty()) text += fmt::format("  {}\n", work);
  }
  if (any(counted.cpu)) text += fmt::format("  a run takes {}\n", to_text(counted.cpu));
  if (bound_of(counted.gpu) == Bound::unknown) return text;
  text += fmt::format("  {}\n  {}\n", diagnosis(counted.gpu, counted.least), to_text(counted.gpu));
  for (const auto& [range, counters] : counters_of_ranges(counted)) {
    text += fmt::format("  range {}, its kernels together\n    {}\n    {}\n", range, diagnosis(counters, {}), to_text(counters));
  }
  std::vector<const Counted::Kernel*> longest;
  for (const Counted::Kernel& kernel : counted.kernels) longest.push_back(&kernel);
  std::ranges::stable_sort(longest, std::greater{}, [](const Counted::Kernel* kernel) { return kernel->counters.duration_ns.value_or(0); });
  for (std::size_t i = 0; i < std::min(kShownKernels, longest.size()); ++i) {
    const Counted::Kernel& kernel = *longest[i];
    text += fmt::format("  kernel {}\n    {}\n    {}", kernel.name, diagnosis(kernel.counters, {}), to_text(kernel.counters));
    text += kernel.registers > 0 ? fmt::format(", {} registers a thread\n", kernel.registers) : "\n";
    const auto stalls = std::ranges::find(counted.stalls.kernels, kernel.name, &KernelStalls::kernel);
    if (stalls != counted.stalls.kernels.end()) text += fmt::format("    waits for: {}\n", to_text(*stalls, kShownReasons));
  }
  if (counted.stalls.unnamed > 0) text += fmt::format("  {} samples of stalls are of kernels that CUPTI does not name\n", counted.stalls.unnamed);
  if (counted.stalls.dropped > 0) text += fmt::format("  {} samples of stalls were dropped by the hardware\n", counted.stalls.dropped);
  if (longest.size() > kShownKernels) text += fmt::format("  ({} more kernels)\n", longest.size() - kShownKernels);
  return text;
}

}  // namespace lcnn::profiles
