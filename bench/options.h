// The command line of lcnn_bench.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/comparison.h"
#include "bench/session.h"
#include "bench/workload.h"
#include "profiles/profile_options.h"

namespace lcnn::bench {

struct Options {
  std::string program = "lcnn_bench";  // that messages begin with
  std::vector<std::string> workloads{std::string(kDefaultWorkload)};
  std::vector<std::string> dictionaries;  // empty: those the layers define, fast only unless `full`
  std::vector<std::int64_t> batches;      // empty: those the workload asks for
  std::vector<Precision> precisions;      // empty: all that the device computes
  std::vector<Layout> layouts{Layout::nchw, Layout::nhwc};
  std::optional<Device> device;           // empty: CUDA where it can be used
  int threads = 0;                        // 0: all cores
  bool full = false;
  bool tune = false;
  TimingMode mode = TimingMode::rotated;
  std::uint64_t seed = 1;
  std::string report;
  bool resume = false;
  std::optional<profiles::ProfileOptions> profile;  // absent: rows are measured without the profiler

  // Google Benchmark's own flags, which we read too.
  std::string filter = ".";
  bool list_tests = false;
  int repetitions = 9;  // Google Benchmark's U test wants at least 9
  std::optional<double> min_seconds;
  std::string format = "console", out, out_format = "json";
  std::vector<std::string> benchmark_arguments;  // what is handed to benchmark::Initialize
  std::string command_line;
};

// What parsing can end in besides options: the text of --help.
struct HelpRequested {
  std::string text;
};

// Throws std::invalid_argument (one line) for what is not accepted, HelpRequested for --help.
Options parse_options(int argc, const char* const* argv);

// Profiled rows stand in no comparison: not in Google Benchmark's output, not beside measured rows in one report. Throws
// std::invalid_argument, one line, when the options ask for that.
void require_profilable(const Options& options);

// "rotated", "hot", "cold"
std::string_view to_string(TimingMode mode);

}  // namespace lcnn::bench
