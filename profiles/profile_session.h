// A profile from its sources to its files: recording, counters, the table, the trace.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "profiles/counted.h"
#include "profiles/cpu_counters.h"
#include "profiles/crash_writer.h"
#include "profiles/profile_options.h"
#include "profiles/range_counters.h"
#include "profiles/recorder.h"
#include "profiles/sampling_pause.h"
#include "profiles/stall_reasons.h"

namespace lcnn::profiles {

class ProfileSession {
 public:
  // Throws std::runtime_error when the files of the options cannot be written. With `cuda`, best made before anything else
  // uses CUDA: counters ask for it. As long as it lives, a crash of the process writes the files first.
  ProfileSession(const ProfileOptions& options, bool cuda);

  Recorder& recorder() { return recorder_; }
  // The counters of the processor, to be started and stopped around what is counted.
  CpuCounters& cpu_counters() { return cpu_counters_; }
  // What is said of a piece of work; there from the first call on.
  Counted& counted(const std::string& name) { return counted_[name]; }

  // Null where stalls are not sampled. CUPTI names the kernels that were first launched while sampling was on: when nothing was
  // recorded or counted, and in none of its pauses. To be paused where times are taken.
  const std::shared_ptr<StallSampler>& stall_sampler() const { return stalls_; }

  // Both are of `runs` different runs, where the options ask for them and they are to be had. run(i) enqueues run i, and may be
  // called often; what the device still does then is waited for.
  void sample_stalls(const std::string& name, std::int64_t runs, const std::function<void(std::int64_t)>& run);
  void count(const std::string& name, std::int64_t runs, const std::function<void(std::int64_t)>& run);

  // Writes the table and the trace of all that was recorded so far. Throws std::runtime_error when it cannot.
  void write() const;
  // The table as asked, the memory's peaks, what was counted, what is missing, where the files are.
  std::string text() const;
  // Empty, or what the recording lacks, in one line: its times are then too small.
  std::string why_incomplete() const;

 private:
  void write_after_crash(int signal);
  void record_kernels(const std::string& name, Counted& counted, const std::function<void()>& run);

  ProfileOptions options_;
  bool cuda_;
  Recorder recorder_;
  CpuCounters cpu_counters_;
  std::unique_ptr<RangeCounters> gpu_counters_;
  std::shared_ptr<StallSampler> stalls_;
  std::vector<std::string> missing_;  // one line each: what could not be recorded or counted, and why
  std::map<std::string, Counted> counted_;
  CrashWriter crash_writer_;  // the last member: it uses the others
};

}  // namespace lcnn::profiles
