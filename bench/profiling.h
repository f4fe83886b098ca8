// lcnn_bench --profile: what rows are recorded with, and what is made of the recording.
#pragma once

#include <map>
#include <string>

#include "bench/session.h"
#include "profiles/cpu_counters.h"
#include "profiles/nvtx_ranges.h"
#include "profiles/recorder.h"

namespace lcnn::bench {

struct Options;

class Profiling {
 public:
  // Throws std::runtime_error when the files that --profile names cannot be written.
  Profiling(const Options& options, Device device);

  profiles::Recorder& recorder() { return recorder_; }
  // Takes a sample of a row with the processor's counters running; microseconds of one run, as Timer::sample.
  double sample(const std::string& row, Timer& timer);

  // Writes the table and the trace of all that was recorded so far. Throws std::runtime_error when it cannot.
  void write() const;
  // The table as asked, the counters of each row's run, where the files are.
  std::string text() const;
  // Empty, or what the recording lacks, in one line: its times are then too small.
  std::string why_incomplete() const { return profiles::missing_records(recorder_.profile()); }

 private:
  std::string trace_path() const;
  std::string table_path() const;

  const Options& options_;
  Device device_;
  std::string why_no_cuda_records_;
  profiles::Recorder recorder_;
  profiles::CpuCounters counters_;
  std::map<std::string, profiles::CpuCounts> counted_;  // by row, of one run in its last sample
};

// A phase of a row for profilers: the row's range, the phase's inside it, recorded where there is a Profiling.
template <typename Phase>
class RowPhase {
 public:
  RowPhase(Profiling* profiling, const std::string& row)
      : recording_(profiling != nullptr ? &profiling->recorder() : nullptr), row_(row.c_str()),
        phase_(profiles::Range::of<Phase>()) {}

 private:
  profiles::Recording recording_;
  profiles::Range row_, phase_;
};

}  // namespace lcnn::bench
