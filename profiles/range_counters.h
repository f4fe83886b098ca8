// A GPU's hardware counters for a piece of work, by CUPTI's range profiler.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "profiles/counters.h"

namespace lcnn::profiles {

// Counters of the thread's current device. While it counts, kernels run one after another, so their times are no benchmark;
// otherwise it costs nothing. Not while a Recorder records or stalls are sampled: CUPTI does one of them at a time.
class RangeCounters {
 public:
  virtual ~RangeCounters() = default;

  // Of all that `work` enqueues, copies too. Runs it as often as the counters need passes, and waits for the device after
  // each. Throws std::runtime_error, and what `work` throws.
  virtual Counters count(const std::string& range, const std::function<void()>& work) = 0;

  // Of each kernel that `work` launches, in the order of the launches; a CUDA graph counts as one. `most`: at least as many as
  // there are, at most kMostKernels. Runs `work` once; kernels are repeated by CUPTI where counters need several passes.
  static constexpr std::size_t kMostKernels = 2000;  // CUPTI refuses room for more than about 3000
  virtual std::vector<Counters> count_kernels(std::size_t most, const std::function<void()>& work) = 0;

  virtual const std::vector<std::string>& missing() const = 0;  // counters that the chip does not have, CUPTI's names
  virtual std::size_t passes() const = 0;
};

struct RangeCountersOrReason {
  std::unique_ptr<RangeCounters> counters;  // null where `why_not` says why
  std::string why_not;                      // "GPU counters: off, ...", in one line
};

// Best called before anything else uses CUDA: CUPTI's documentation asks for it. Counts an empty range once, so that what is
// not permitted shows here.
RangeCountersOrReason make_range_counters();

// Those of counter_metrics() that a chip, such as "GH100", does not have, and how many passes the others take. Needs no GPU.
// Throws std::runtime_error for a chip that CUPTI does not know.
struct ChipCounters {
  std::vector<std::string> missing;
  std::size_t passes = 0;
};
ChipCounters counters_of_chip(const std::string& chip);

}  // namespace lcnn::profiles
