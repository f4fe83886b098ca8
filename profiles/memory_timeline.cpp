#include "profiles/memory_timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "profiles/counters.h"

namespace lcnn::profiles {
namespace {

// Finds the spans around an allocation.
class Owners {
 public:
  explicit Owners(const Profile& profile) : profile_(profile), nesting_(nest(profile)), spans_(profile_, nesting_) {
    for (const std::size_t i : nesting_.order) {
      if (profile_.host[i].correlation != 0) calls_[profile_.host[i].correlation] = i;
    }
  }

  std::string of(const MemoryEvent& event) const {
    std::string ranges, outermost_operator;
    for (std::size_t span = innermost(event); span != kNoParent; span = nesting_.outside(span)) {
      const std::string& name = profile_.names[profile_.host[span].name];
      if (profile_.host[span].kind == HostKind::range) ranges = ranges.empty() ? name : fmt::format("{} > {}", name, ranges);
      // Of an operator around a range nothing is said: the range says more.
      if (profile_.host[span].kind == HostKind::operator_call && ranges.empty()) outermost_operator = name;
    }
    if (ranges.empty()) ranges = "(no range)";
    return outermost_operator.empty() ? ranges : fmt::format("{} > {}", ranges, outermost_operator);
  }

 private:
  std::size_t innermost(const MemoryEvent& event) const {
    if (event.correlation != 0) {
      const auto call = calls_.find(event.correlation);
      return call == calls_.end() ? kNoParent : call->second;
    }
    const std::size_t span = spans_.innermost(event.thread, event.time_ns);
    return span != kNoParent ? span : spans_.range_of_another(event.thread, event.time_ns, event.time_ns);
  }

  const Profile& profile_;
  Nesting nesting_;
  SpanFinder spans_;
  std::unordered_map<std::uint32_t, std::size_t> calls_;
};

// An allocator's events in the order of time, by index into Profile::memory.
std::map<std::string, std::vector<std::size_t>> by_allocator(const Profile& profile) {
  std::map<std::string, std::vector<std::size_t>> events;
  for (std::size_t i = 0; i < profile.memory.size(); ++i) events[profile.names[profile.memory[i].allocator]].push_back(i);
  for (auto& [allocator, indices] : events) {
    std::ranges::stable_sort(indices, {}, [&](std::size_t i) { return profile.memory[i].time_ns; });
  }
  return events;
}

MemoryPeak peak_of(const Profile& profile, const Owners& owners, const std::string& allocator, const std::vector<std::size_t>& events) {
  const auto highest = std::ranges::max_element(events, {}, [&](std::size_t i) { return profile.memory[i].live_bytes; });
  MemoryPeak peak{.allocator = allocator, .time_ns = profile.memory[*highest].time_ns, .bytes = profile.memory[*highest].live_bytes};
  std::unordered_map<std::uint64_t, std::size_t> live;  // by address
  for (auto event = events.begin(); event <= highest; ++event) {
    if (profile.memory[*event].bytes > 0) live[profile.memory[*event].address] = *event;
    else live.erase(profile.memory[*event].address);
  }
  std::vector<std::size_t> youngest_first;
  for (const auto& [address, event] : live) youngest_first.push_back(event);
  std::ranges::sort(youngest_first, std::greater{}, [&](std::size_t i) { return std::pair(profile.memory[i].time_ns, i); });

  peak.not_recorded = peak.bytes;
  std::map<std::string, LiveMemory> by_owner;
  for (const std::size_t i : youngest_first) {
    const MemoryEvent& event = profile.memory[i];
    if (event.bytes > peak.not_recorded) continue;
    const std::string owner = owners.of(event);
    LiveMemory& memory = by_owner[owner];
    memory.owner = owner;
    memory.bytes += event.bytes;
    ++memory.allocations;
    peak.not_recorded -= event.bytes;
  }
  for (auto& [owner, memory] : by_owner) peak.live.push_back(std::move(memory));
  std::ranges::stable_sort(peak.live, std::greater{}, &LiveMemory::bytes);
  return peak;
}

}  // namespace

std::vector<MemoryPeak> memory_peaks(const Profile& profile) {
  std::vector<MemoryPeak> peaks;
  if (profile.memory.empty()) return peaks;
  const Owners owners(profile);
  for (const auto& [allocator, events] : by_allocator(profile)) peaks.push_back(peak_of(profile, owners, allocator, events));
  return peaks;
}

std::string to_text(const std::vector<MemoryPeak>& peaks, std::size_t most) {
  std::string text;
  for (const MemoryPeak& peak : peaks) {
    text += fmt::format("Peak memory, {}: {}", peak.allocator, bytes_text(static_cast<double>(peak.bytes)));
    if (peak.not_recorded > 0) {
      text += fmt::format(", {} of it allocated while nothing was recorded", bytes_text(static_cast<double>(peak.not_recorded)));
    }
    text += "\n";
    for (std::size_t i = 0; i < std::min(most, peak.live.size()); ++i) {
      const LiveMemory& memory = peak.live[i];
      text += fmt::format("  {:>9} in {:>4} of {}\n", bytes_text(static_cast<double>(memory.bytes)), memory.allocations, memory.owner);
    }
    if (peak.live.size() > most) text += fmt::format("  ({} more)\n", peak.live.size() - most);
  }
  return text;
}

nlohmann::ordered_json to_json(const std::vector<MemoryPeak>& peaks) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const MemoryPeak& peak : peaks) {
    nlohmann::ordered_json live = nlohmann::ordered_json::array();
    for (const LiveMemory& memory : peak.live) {
      live.push_back({{"owner", memory.owner}, {"bytes", memory.bytes}, {"allocations", memory.allocations}});
    }
    list.push_back({{"allocator", peak.allocator}, {"peak_bytes", peak.bytes}, {"not_recorded_bytes", peak.not_recorded}, {"live", live}});
  }
  return list;
}

}  // namespace lcnn::profiles
