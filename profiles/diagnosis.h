// What bounds a piece of work, in words: from hardware counters and from what the work needs at least.
#pragma once

#include <optional>
#include <string>

#include "profiles/counters.h"

namespace lcnn::profiles {

// What the function that is computed needs at least: every byte of input and weights read once, every byte of output written
// once, operations, and the time that these or the bytes take on this machine. 0: not known.
struct LeastWork {
  double read_bytes = 0, write_bytes = 0;
  double operations = 0;  // multiplications and lookups
  double time_ns = 0;
  std::string time_of;  // "bytes" or "operations": which of them takes that long
};

enum class Bound { memory, l2, shared_memory, tensor_cores, arithmetic, issue, few_warps, idle_sms, latency, unknown };
// "memory", "l2", "shared_memory", ...: stable names, for JSON.
const char* to_string(Bound bound);

// What bounds the work. A unit that is busy for 60% of the time or more bounds it (the busiest one, where several are); with
// none, SMs that stand idle, too few warps, or latency do.
Bound bound_of(const Counters& counters);

// One line: the bound with its number, then what stands out: "reads 2.1x the fewest bytes", bank conflicts.
std::string diagnosis(const Counters& counters, const LeastWork& least);

// "needs to read 1.2 MB, to write 0.4 MB, 8e+07 operations: 4e+12 a second"; empty where nothing is known.
std::string work_text(double time_ns, const LeastWork& least);

// "2.3x the time that the fewest bytes need (4.5 us)"; empty without such a time.
std::string time_comparison(double time_ns, const LeastWork& least);

// "reads 2.1x and writes 1.0x the fewest bytes"; empty without the counters or without bytes to compare with.
std::string byte_comparison(const Counters& counters, const LeastWork& least);

}  // namespace lcnn::profiles
