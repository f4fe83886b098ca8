// db = dY summed over images and pixels: a block per output channel and split of the pixels. Bound: one read of dY.
#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/split_sums.h"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    bias_gradient_kernel(unsigned channels, unsigned plane, unsigned positions, const T* __restrict__ grad_y,
                         SplitResult<Sum<T>> result) {
  Sum<T> sum[1] = {};
  for (unsigned index = blockIdx.y * kThreads + threadIdx.x; index < positions; index += gridDim.y * kThreads) {
    sum[0] += widen(grad_y[(static_cast<std::int64_t>(index / plane) * channels + blockIdx.x) * plane + index % plane]);
  }
  const Sum<T> total = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) result.put(blockIdx.y, blockIdx.x, total);
}

}  // namespace

template <typename T>
void bias_gradient(const LookupProblem& problem, const T* grad_y, Sum<T>* grad_bias, const TrainingExecution& execution) {
  const Conv2dProblem& conv = problem.conv;
  const std::int64_t plane = conv.out_height() * conv.out_width(), positions = conv.batch * plane;
  const SplitSums<Sum<T>> sums(grad_bias, conv.out_channels, conv.out_channels, positions, execution);
  const dim3 grid(static_cast<unsigned>(conv.out_channels), sums.splits());
  bias_gradient_kernel<T><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
      static_cast<unsigned>(conv.out_channels), static_cast<unsigned>(plane), static_cast<unsigned>(positions), grad_y,
      sums.result());
  check_launch("bias_gradient_kernel");
  sums.finish();
}

#define LCNN_INSTANTIATE(T) \
  template void bias_gradient(const LookupProblem&, const T*, Sum<T>*, const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
