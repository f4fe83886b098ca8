// Every byte that the process takes from malloc and its relatives, counted: LibTorch's, oneDNN's and ours.
#pragma once

#include <cstdint>

namespace lcnn::bench {

// Usable bytes of live allocations, and the most since the last reset. Both 0 where the counter is left out
// (sanitizers bring their own malloc).
std::int64_t host_live_bytes();
std::int64_t host_peak_bytes();
void reset_host_peak();

}  // namespace lcnn::bench
