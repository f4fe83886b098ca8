#include "kernels/cuda/kernel_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/rotated_timing.h"
#include "kernels/side_by_side.h"
#include "kernels/tuning_cache.h"

namespace lcnn::cuda {
namespace {

constexpr std::size_t kMostGuesses = 13;  // compiled in search of one without spills
constexpr std::size_t kMostTimed = 24;
constexpr const char* kNoneFits = "every tile needs more registers than a thread has, or more shared memory than a block has";

// Compiling takes seconds a kernel: the binaries are made by as many threads as there are cores, then lie in the cache.
void compile_side_by_side(const KernelSearch& search, std::size_t first, std::size_t last) {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  std::atomic<std::size_t> next{first};
  run_side_by_side(std::max(1u, std::thread::hardware_concurrency()), [&](std::size_t) {
    check(cudaSetDevice(device), "cudaSetDevice");
    for (std::size_t candidate = next++; candidate < last; candidate = next++) (void)nvrtc_binary(search.source(candidate));
  });
}

// None where the candidate needs more shared memory than a block has, or more registers than a thread has.
std::optional<NvrtcKernel> that_fits(const KernelSearch& search, std::size_t candidate) {
  const int shared_bytes = search.shared_bytes(candidate);
  if (shared_bytes > DeviceLimits().shared_bytes) return std::nullopt;
  try {
    return NvrtcKernel(search.source(candidate), search.kernel_name, shared_bytes);
  } catch (const RegistersSpilled&) {
    return std::nullopt;
  }
}

KernelChoice measured(const KernelSearch& search, const std::string& key, const Execution& execution) {
  const std::size_t count = std::min(search.candidates, kMostTimed);
  compile_side_by_side(search, 0, count);
  const RotatedTiming timing(search.input, search.input_precision, Layout::nchw, search.output_bytes, execution);
  std::size_t best = 0;
  std::optional<NvrtcKernel> best_kernel;
  double best_time = std::numeric_limits<double>::infinity();
  std::size_t timed = 0;
  for (std::size_t candidate = 0; candidate < count; ++candidate) {
    auto kernel = that_fits(search, candidate);
    if (!kernel) continue;
    ++timed;
    const double time = timing.microseconds([&](const void* input, void* output) {
      search.run(candidate, *kernel, input, output, execution.stream);
    });
    log_timing(key, search.tile(candidate), time);
    if (time < best_time) {
      best = candidate;
      best_kernel.emplace(std::move(*kernel));
      best_time = time;
    }
  }
  if (!best_kernel) throw Unsupported(kNoneFits);
  TuningCache::of_process().store(key, search.tile(best));
  return {best, std::move(*best_kernel), fmt::format("fastest of {} tiles", timed)};
}

std::optional<KernelChoice> as_tuned(const KernelSearch& search, const std::string& key) {
  const auto tile = TuningCache::of_process().find(key);
  for (std::size_t candidate = 0; tile && candidate < search.candidates; ++candidate) {
    if (search.tile(candidate) != *tile) continue;
    if (auto kernel = that_fits(search, candidate)) return KernelChoice{candidate, std::move(*kernel), "as tuned"};
  }
  return std::nullopt;
}

}  // namespace

KernelChoice choose_kernel(const KernelSearch& search, const Execution& execution) {
  const std::string key = tuning_key(device_name(), search.variant, search.problem, search.precision, search.lookups);
  const bool measure = execution.tuning == Tuning::everything && !TuningCache::of_process().measured_here(key);
  if (measure) return measured(search, key, execution);
  if (execution.tuning != Tuning::none) {
    if (auto choice = as_tuned(search, key)) return std::move(*choice);
  }
  for (std::size_t candidate = 0; candidate < std::min(search.candidates, kMostGuesses); ++candidate) {
    // Where one spills, its neighbours often do.
    if (candidate % 4 == 1) compile_side_by_side(search, candidate, std::min({candidate + 4, search.candidates, kMostGuesses}));
    if (auto kernel = that_fits(search, candidate)) return {candidate, std::move(*kernel), "by guess"};
  }
  throw Unsupported(kNoneFits);
}

}  // namespace lcnn::cuda
