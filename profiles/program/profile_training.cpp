#include "profiles/program/profile_training.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <vector>

#include "bench/run.h"
#include "bench/statistics.h"
#include "profiles/nvtx_ranges.h"
#include "profiles/profile_session.h"
#include "train/synthetic_training.h"
#include "variants/operator_recorder.h"
#include "variants/runtime.h"

namespace lcnn::profiles {
namespace {

constexpr std::int64_t kWarmUpSteps = 2;  // libraries are slow at their first call

volatile std::sig_atomic_t stop_requested = 0;

void request_stop(int signal) {
  stop_requested = 1;
  std::signal(signal, SIG_DFL);  // a second Ctrl-C ends the program at once
}

// Microseconds of each step; fewer when the user stops.
std::vector<double> time_steps(train::SyntheticTraining& model, std::int64_t steps) {
  std::vector<double> times;
  for (std::int64_t i = 0; i < steps && stop_requested == 0; ++i) {
    const std::int64_t begin_ns = now_ns();
    model.step();
    model.synchronize();
    times.push_back(static_cast<double>(now_ns() - begin_ns) / 1e3);
  }
  return times;
}

std::function<void(std::int64_t)> step_of(train::SyntheticTraining& model) {
  return [&model](std::int64_t) {
    model.step();
    model.synchronize();
  };
}

// "step of lenet, pooled, batch 64"
std::string step_name(const train::Options& options) {
  return fmt::format("step of {}, {}, batch {}", options.architecture.model, to_string(options.architecture.convolution), options.batch);
}

void show_progress(const char* what) {
  if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\r\033[K{}", what);
}

// The network's making and all its steps in one piece: memory that is released while nothing is recorded would pass for live.
std::vector<double> record(ProfileSession& session, const TrainingProfileOptions& options, const std::string& name,
                           std::optional<train::SyntheticTraining>& model) {
  CpuCounters& counters = session.cpu_counters();
  const CpuCounts before = counters.counts();
  std::vector<double> times;
  const Recording recording(&session.recorder());
  {
    const Range range("make the network");
    model.emplace(options.training);
  }
  counters.start();
  for (std::int64_t i = 0; i < options.steps && stop_requested == 0; ++i) {
    const Range range(name.c_str());
    const std::vector<double> time = time_steps(*model, 1);
    times.insert(times.end(), time.begin(), time.end());
  }
  counters.stop();
  if (!times.empty()) session.counted(name).cpu = counters.counts().since(before, static_cast<double>(times.size()));
  return times;
}

}  // namespace

int profile_training(const TrainingProfileOptions& options) {
  std::signal(SIGINT, request_stop);
  const bool cuda = options.training.device == Device::cuda;
  ProfileSession session(options.profile, cuda);
  session.recorder().add(make_operator_source());
  set_threads(options.training.threads > 0 ? options.training.threads : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  const std::string name = step_name(options.training);
  std::vector<double> unprofiled;
  {
    show_progress("steps without the profiler");
    train::SyntheticTraining first(options.training);
    time_steps(first, kWarmUpSteps);
    {
      const SamplingPause pause(session.stall_sampler());
      unprofiled = time_steps(first, options.steps);
    }
    if (stop_requested == 0) {  // of this network: what the next one loads is recorded, and has no names in samples
      session.counted(name).time_ns = bench::median(unprofiled) * 1e3;
      session.sample_stalls(name, 1, step_of(first));
    }
  }
  const SamplingPause pause(session.stall_sampler());
  show_progress("steps under the profiler");
  std::optional<train::SyntheticTraining> model;
  const std::vector<double> profiled = record(session, options, name, model);
  show_progress("steps without the profiler");
  const std::vector<double> after = time_steps(*model, options.steps);
  unprofiled.insert(unprofiled.end(), after.begin(), after.end());
  show_progress("");
  if (!profiled.empty()) {
    Counted& counted = session.counted(name);
    counted.time_ns = bench::median(unprofiled) * 1e3;
    counted.overhead = bench::median(profiled) / bench::median(unprofiled) - 1;
  }
  if (stop_requested == 0) session.count(name, 1, step_of(*model));

  session.write();
  fmt::print("{}", session.text());
  if (stop_requested != 0) {
    fmt::print(stderr, "lcnn_profile: interrupted; the profile is of {} steps\n", profiled.size());
    return bench::kExitInterrupted;
  }
  if (const std::string missing = session.why_incomplete(); !missing.empty()) {
    fmt::print(stderr, "lcnn_profile: the profile is incomplete: {}\n", missing);
    return bench::kExitRowFailed;
  }
  return 0;
}

}  // namespace lcnn::profiles
