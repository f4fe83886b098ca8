// The processor's own counters for all threads of this process, by Linux's perf_event.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lcnn::profiles {

// Of user code, all threads together; scaled where the processor's counters had to be shared. Absent: not counted here.
struct CpuCounts {
  std::optional<double> cycles, instructions, cache_misses;

  // What was counted since `earlier`, over `runs`.
  CpuCounts since(const CpuCounts& earlier, double runs) const;
};

// "cycles 1.2e+09, instructions 3.1e+09 (2.58 a cycle), cache misses 4.0e+05"
std::string to_text(const CpuCounts& counts);

// Counts between start() and stop(), as often as wanted.
class CpuCounters {
 public:
  // Opens counters for the threads that exist; threads that these start later are counted, too. Never throws.
  CpuCounters();
  ~CpuCounters();
  CpuCounters(const CpuCounters&) = delete;
  CpuCounters& operator=(const CpuCounters&) = delete;

  // Empty when there are counters, else why there are none and what to change, in one line.
  const std::string& why_not() const { return why_not_; }

  void start();
  void stop();
  CpuCounts counts() const;  // since construction

 private:
  static constexpr std::size_t kKinds = 3;
  std::array<std::vector<int>, kKinds> files_;  // of each kind one a thread
  std::string why_not_;
};

}  // namespace lcnn::profiles
