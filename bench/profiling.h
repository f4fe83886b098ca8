// What rows are profiled with: a profile session, filled from rows and their timers.
#pragma once

#include <cstdint>
#include <string>

#include "bench/row.h"
#include "bench/session.h"
#include "profiles/nvtx_ranges.h"
#include "profiles/profile_session.h"

namespace lcnn::bench {

class Profiling {
 public:
  // Throws std::runtime_error when the files of the options cannot be written.
  Profiling(const profiles::ProfileOptions& options, Device device);

  profiles::ProfileSession& session() { return session_; }
  const profiles::ProfileSession& session() const { return session_; }

  // Takes a sample of a row with the processor's counters running; microseconds of one run, as Timer::sample.
  double sample(const std::string& row, Timer& timer);

  // Adds what a measured row needs at least and what it took, and the GPU's stalls and counters in its runs on `sets` buffer
  // sets.
  void count(const Row& row, std::int64_t sets, const Run& run, void* stream);

 private:
  Device device_;
  profiles::ProfileSession session_;
};

// A phase of a row for profilers: the row's range, the phase's inside it, recorded where there is a Profiling.
template <typename Phase>
class RowPhase {
 public:
  RowPhase(Profiling* profiling, const std::string& row)
      : recording_(profiling != nullptr ? &profiling->session().recorder() : nullptr), row_(row.c_str()),
        phase_(profiles::Range::of<Phase>()) {}

 private:
  profiles::Recording recording_;
  profiles::Range row_, phase_;
};

}  // namespace lcnn::bench
