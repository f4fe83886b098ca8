// Measures one group of rows: prepare, verify against float64, then time all of them alternately.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bench/plan.h"
#include "bench/profiling.h"
#include "bench/row.h"
#include "bench/session.h"

namespace lcnn::bench {

struct MeasureOptions {
  TimingMode mode = TimingMode::rotated;
  std::uint64_t seed = 1;
  double min_seconds = 0.1;          // a row is sampled at least this long
  double max_seconds = 3.0;          // and at most this long, once it has min_samples
  double uncertainty_goal = 0.005;   // relative, half the 95% interval of the median
  std::size_t min_samples = 15;
  std::size_t max_samples = 400;
  Tuning tuning = Tuning::libraries;
  Profiling* profiling = nullptr;  // records all phases but verification; rows are marked and compared with none
};

// Thrown between samples when the user asked to stop; nothing of the group is kept.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

// Says what is being done ("tuning Conv2d/cudnn/..."); asked often whether to stop.
struct Observer {
  std::function<void(std::string_view what)> progress = [](std::string_view) {};
  std::function<bool()> stop = [] { return false; };
};

// One Row per RowPlan of the group, in its order. A row that fails is a row with its reason; what makes the whole
// group impossible (no memory for input and output) throws std::runtime_error or std::bad_alloc.
std::vector<Row> measure_group(Session& session, const Group& group, const MachineLimits& limits,
                               const MeasureOptions& options, const Observer& observer);

// The time that the fewest bytes or operations need on this machine, over the measured time.
Roofline roofline(const Row& row, const MachineLimits& limits);

// "workspace: 0.0 MB against 12.3 MB": the item in which a row's memory differs most from its baseline's.
std::string largest_memory_difference(const Memory& memory, const Memory& baseline);

// Sets the row's comparison with its baseline; both are measured.
void compare_with(const Row& baseline, Row& row);

// One line of what failed in a row. Throws std::runtime_error when that took the device with it: then no later row can be measured
// in this process.
std::string reason_of_failure(Session& session, const std::string& row, const std::exception& error);

}  // namespace lcnn::bench
