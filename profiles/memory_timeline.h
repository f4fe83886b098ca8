// Who held the memory when most of it was in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "profiles/profile.h"

namespace lcnn::profiles {

// Allocations that one owner had live at the peak.
struct LiveMemory {
  std::string owner;  // "step > forward > aten::conv2d": the ranges around it, then the outermost operator; "(no range)"
  std::int64_t bytes = 0, allocations = 0;
};

// The moment at which an allocator had most bytes live.
struct MemoryPeak {
  std::string allocator;
  std::int64_t time_ns = 0;
  std::int64_t bytes = 0;
  std::int64_t not_recorded = 0;  // of these, allocated while nothing was recorded
  std::vector<LiveMemory> live;   // most bytes first
};

// One of each allocator, by its name. An allocation that was released while nothing was recorded counts as live until its
// address is allocated again; where the allocator says that there is less, the oldest are taken for released.
std::vector<MemoryPeak> memory_peaks(const Profile& profile);

// The peaks, and of each the `most` largest owners. Empty without memory events.
std::string to_text(const std::vector<MemoryPeak>& peaks, std::size_t most);
nlohmann::ordered_json to_json(const std::vector<MemoryPeak>& peaks);

}  // namespace lcnn::profiles
