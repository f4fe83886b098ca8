#include "kernels/cuda/split_sums.h"

#include <algorithm>

#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kWantedBlocks = 1024;      // several for each multiprocessor of today's GPUs
constexpr std::int64_t kTermsPerSplit = 4 * 1024;  // fewer are not worth a block's reduction

template <typename S>
__global__ void sum_splits_kernel(const S* __restrict__ partial, unsigned splits, std::int64_t elements,
                                  S* __restrict__ result) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= elements) return;
  S sum = 0;
  for (unsigned split = 0; split < splits; ++split) sum += partial[split * elements + i];
  result[i] = sum;
}

}  // namespace

template <typename S>
SplitSums<S>::SplitSums(S* result, std::int64_t elements, std::int64_t blocks, std::int64_t terms,
                        const TrainingExecution& execution)
    : result_(result), elements_(elements), execution_(execution) {
  const std::int64_t wanted = (kWantedBlocks + blocks - 1) / blocks, useful = (terms + kTermsPerSplit - 1) / kTermsPerSplit;
  splits_ = static_cast<unsigned>(std::max<std::int64_t>(1, std::min(wanted, useful)));
  if (splits_ == 1) return;
  if (execution.deterministic) {
    partial_ = Buffer(*execution.allocator, splits_ * elements * static_cast<std::int64_t>(sizeof(S)), MemoryKind::workspace);
  } else {
    check(cudaMemsetAsync(result, 0, elements * sizeof(S), as_stream(execution.stream)), "clearing a gradient");
  }
}

template <typename S>
SplitResult<S> SplitSums<S>::result() const {
  if (splits_ == 1) return {result_, elements_};
  return execution_.deterministic ? SplitResult<S>{partial_.as<S>(), elements_} : SplitResult<S>{result_, 0};
}

template <typename S>
void SplitSums<S>::finish() const {
  if (splits_ == 1 || !execution_.deterministic) return;
  sum_splits_kernel<<<blocks_of(elements_, kThreads), kThreads, 0, as_stream(execution_.stream)>>>(
      partial_.as<S>(), splits_, elements_, result_);
  check_launch("sum_splits_kernel");
}

template class SplitSums<float>;
template class SplitSums<double>;

}  // namespace lcnn::cuda
