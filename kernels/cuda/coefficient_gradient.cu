// dC at the given lookups: a block per output channel and split of the pixels, kLookups lookups at once.
//
// dY is loaded once for kLookups products with S; every thread keeps its pixels' part of them in registers. Bound: one
// load of S a lookup and pixel, from the caches.
#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/split_sums.h"
#include "kernels/cuda/staged_lookups.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLookups = 8;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    coefficient_gradient_kernel(StageShape stage, unsigned positions, const T* __restrict__ grad_y, const T* __restrict__ s,
                                const std::int32_t* __restrict__ row_offsets, const std::int32_t* __restrict__ indices,
                                SplitResult<Sum<T>> result) {
  const int k = blockIdx.x, taps = stage.kernel_h * stage.kernel_w;
  const std::int64_t plane = static_cast<std::int64_t>(stage.height) * stage.width;
  const std::int64_t out_plane = static_cast<std::int64_t>(stage.out_height) * stage.out_width;
  const int last = row_offsets[(k + 1) * taps];
  for (int first = row_offsets[k * taps]; first < last; first += kLookups) {
    const int count = min(kLookups, last - first);
    std::int64_t offset[kLookups];  // from a pixel's place in S's first plane
    int row[kLookups], column[kLookups];
#pragma unroll
    for (int j = 0; j < kLookups; ++j) {
      const int i = first + min(j, count - 1);  // those that are not there repeat the last one and are dropped
      const int tap = row_of_lookup(row_offsets, k * taps, (k + 1) * taps, i) - k * taps;
      row[j] = row_shift(stage, tap);
      column[j] = column_shift(stage, tap);
      offset[j] = indices[i] * plane + row[j] * stage.width + column[j];
    }
    Sum<T> sums[kLookups] = {};
    for (unsigned index = blockIdx.y * kThreads + threadIdx.x; index < positions; index += gridDim.y * kThreads) {
      const BatchPixel at = batch_pixel(index, stage.out_height, stage.out_width);
      const Sum<T> dy = widen(grad_y[(static_cast<std::int64_t>(at.image) * stage.out_channels + k) * out_plane +
                                     at.row * stage.out_width + at.column]);
      const int h = at.row * stage.stride_h, w = at.column * stage.stride_w;
      const T* pixel = s + static_cast<std::int64_t>(at.image) * stage.in_channels * plane + h * stage.width + w;
#pragma unroll
      for (int j = 0; j < kLookups; ++j) {
        if (!inside(h + row[j], stage.height) || !inside(w + column[j], stage.width)) continue;
        sums[j] += dy * widen(pixel[offset[j]]);
      }
    }
    const Sum<T> sum = block_sum<kThreads>(sums);
    if (static_cast<int>(threadIdx.x) < count) result.put(blockIdx.y, first + threadIdx.x, sum);
  }
}

}  // namespace

template <typename T>
void coefficient_gradient(const LookupProblem& problem, const T* grad_y, const T* s, const LookupArrays<T>& lookups,
                          Sum<T>* grad_coefficients, const TrainingExecution& execution) {
  if (lookups.lookups == 0) return;
  const Conv2dProblem stage = problem.lookup_stage();
  const std::int64_t positions = stage.batch * stage.out_height() * stage.out_width();
  const SplitSums<Sum<T>> sums(grad_coefficients, lookups.lookups, stage.out_channels, positions, execution);
  const dim3 grid(static_cast<unsigned>(stage.out_channels), sums.splits());
  coefficient_gradient_kernel<T><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
      StageShape(stage), static_cast<unsigned>(positions), grad_y, s, lookups.row_offsets, lookups.indices, sums.result());
  check_launch("coefficient_gradient_kernel");
  sums.finish();
}

#define LCNN_INSTANTIATE(T)                                                                                      \
  template void coefficient_gradient(const LookupProblem&, const T*, const T*, const LookupArrays<T>&, Sum<T>*,  \
                                     const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
