// The device that a run measures on: memory, random inputs, the float64 reference, timers and clocks.
//
// One implementation per device; everything above it (verification, alternation, statistics) is shared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/reference.h"
#include "kernels/variant.h"
#include "variants/runtime.h"

namespace lcnn::bench {

enum class TimingMode {
  rotated,  // over sets of input and output that exceed the last-level cache three times
  hot,      // over one set
  cold,     // over one set, the cache flushed before every run, the flush not timed
};

// Times one contender. A sample is the mean of some back-to-back runs, in microseconds of one run.
class Timer {
 public:
  virtual ~Timer() = default;
  virtual double sample() = 0;
  virtual std::int64_t runs_per_sample() const = 0;
};

// Enqueues one run on buffer set `set` (the CPU: runs it).
using Run = std::function<void(std::int64_t set, void* stream)>;

// The float64 result that outputs are compared with.
class Reference {
 public:
  virtual ~Reference() = default;
  virtual Comparison compare(const void* y, Precision precision, Layout layout) = 0;
};

// What the machine can do, measured: the roofline's two roofs. Rates in multiply-accumulates per second.
struct MachineLimits {
  double copy_bytes_per_s = 0;  // read + written
  double fma_per_s = 0;         // fp32
  double tf32_mac_per_s = 0, fp16_mac_per_s = 0, bf16_mac_per_s = 0;  // matrix units; 0 without

  double matrix_mac_per_s(Precision precision) const;
};

struct ClockReading {
  int sm_mhz = 0;
  std::vector<std::string> throttle_reasons;
  bool throttled = false;
};

class Session {
 public:
  virtual ~Session() = default;
  // Throws std::runtime_error when the device cannot be used. `threads` is for the CPU; 0 takes all cores.
  static std::unique_ptr<Session> open(Device device, int threads);

  virtual Device device() const = 0;
  virtual Execution execution() = 0;
  virtual CountingAllocator& allocator() = 0;
  virtual std::int64_t cache_bytes() const = 0;   // last level
  virtual std::int64_t memory_bytes() const = 0;  // all of the device's

  virtual void fill_random(void* x, const Conv2dProblem& problem, Precision precision, Layout layout,
                           std::uint64_t seed) = 0;
  virtual void poison(void* y, std::int64_t bytes) = 0;  // every element becomes NaN
  virtual void synchronize() = 0;                        // also reports what failed
  virtual std::string why_unusable() = 0;                // empty, or the error after which nothing runs any more

  virtual std::unique_ptr<Reference> reference_lookup(const LookupProblem& problem, const LookupWeights& weights,
                                                      const void* x, Precision precision, Layout layout) = 0;
  virtual std::unique_ptr<Reference> reference_conv2d(const Conv2dProblem& problem, const DenseWeights& weights,
                                                      const void* x, Precision precision, Layout layout) = 0;

  // `estimate_us` sizes a sample; `sets` buffer sets exist.
  virtual std::unique_ptr<Timer> make_timer(const Run& run, std::int64_t sets, TimingMode mode, double estimate_us) = 0;
  // For what cannot be captured as a CUDA graph, such as a step of training: runs are enqueued one after the other, and the time
  // between their first and last work on the device counts, waiting for the host included.
  virtual std::unique_ptr<Timer> make_step_timer(const Run& run, double estimate_us) = 0;
  virtual std::optional<ClockReading> read_clocks() = 0;

  // Bytes that everything on the device holds, and the most since the last reset.
  virtual std::int64_t live_bytes() = 0;
  virtual std::int64_t peak_bytes() = 0;
  virtual void reset_peak() = 0;
  virtual void release_cached_memory() = 0;

  virtual MachineLimits measure_limits() = 0;
  // Names and versions, for the report: fields of "device".
  virtual std::vector<std::pair<std::string, std::string>> describe() = 0;
};

namespace detail {
std::unique_ptr<Session> open_cpu_session(int threads);
std::unique_ptr<Session> open_cuda_session();
}  // namespace detail

}  // namespace lcnn::bench
