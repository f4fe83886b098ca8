// One line of the report: what was asked, whether it was right, and what it cost.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench/workload.h"
#include "kernels/operation_count.h"
#include "kernels/variant.h"

namespace lcnn::bench {

enum class Disposition {
  measured,      // verified, then timed
  incorrect,     // computed, but further from the float64 reference than its tolerance: never timed
  error,         // preparation or a run failed
  unsupported,   // the variant says that it cannot compute this
};

std::string_view to_string(Disposition disposition);

struct Verification {
  double rel_err = 0;
  double tolerance = 0;
  std::int64_t non_finite = 0;
  std::string tolerance_from;  // the row whose error sets the tolerance, or "precision"
};

// Microseconds of one run.
struct Timing {
  double median_us = 0;
  double mad_us = 0;
  double relative_uncertainty = 0;  // half the 95% interval of the median
  bool stable = false;              // whether that is within what was asked
  std::int64_t runs_per_sample = 0;
  std::vector<double> samples_us;
};

struct Clocks {
  std::optional<int> sm_mhz_min, sm_mhz_median;  // while the row's samples were taken
  std::vector<std::string> throttle_reasons;
  bool throttled = false;  // a thermal or power brake, not the ordinary power cap
};

// Bytes. Of a training step: prepared is what else stays between steps (gradients, the optimizer's state), workspace what is taken
// during one (activations).
struct Memory {
  std::int64_t weights = 0, input = 0, output = 0, workspace = 0, prepared = 0;
  std::int64_t peak() const { return weights + input + output + workspace + prepared; }
};

struct Roofline {
  double limit_us = 0;  // the time of the fewest bytes or operations, whichever is longer
  std::string bound;    // "bytes" or "operations"
  double share = 0;     // limit over measured time
};

// Of a row that was measured under the profiler: what the profiler cost it.
struct Profiled {
  double unprofiled_median_us = 0;  // of samples that took turns with the profiled ones
  double overhead = 0;              // profiled median over that, minus 1
};

// A network whose training is measured step by step, in place of a layer.
struct TrainingProblem {
  std::int64_t batch = 0, channels = 0, height = 0, width = 0, classes = 0;
  std::int64_t parameters = 0;                 // numbers that are trained
  std::vector<std::int64_t> dictionary_sizes;  // of each convolution; none with Conv2d
  std::int64_t lookups = 0;                    // non-zeros of P in all layers; 0 with Conv2d
};

struct Row {
  std::string name;
  VariantKind kind = VariantKind::lookup;
  std::string variant;
  Computes computes = Computes::lookups;
  Device device = Device::cpu;
  LookupProblem problem;
  std::optional<TrainingProblem> training;  // in place of the problem; such a row has neither operations nor roofline
  std::string set, layer;
  Dictionary dictionary;  // the baselines' is the one that their W was made from
  Precision precision = Precision::fp32;
  Layout layout = Layout::nchw;

  Disposition disposition = Disposition::error;
  std::string reason;  // one line, unless measured
  std::string choice;
  double prepare_ms = 0;
  std::optional<Verification> verification;
  std::optional<Timing> timing;
  std::optional<Clocks> clocks;
  std::optional<Memory> memory;
  std::optional<Roofline> roofline;
  OperationCount operations;
  std::int64_t stored_lookups = 0;
  std::string baseline;                  // the fastest Conv2d's row
  std::optional<double> speedup;         // baseline time over this time
  std::optional<double> memory_ratio;    // baseline peak over this peak
  std::string memory_difference;         // which item differs most from the baseline's, in words
  std::optional<double> regret;          // of the variant that chooses: its time over the fastest measured one's, minus 1

  std::optional<Profiled> profiled;      // such a row is compared with none: baseline and speedup are absent

  bool measured() const { return disposition == Disposition::measured; }
};

}  // namespace lcnn::bench
