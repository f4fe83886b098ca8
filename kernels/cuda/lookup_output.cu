// Y = conv(S, P) + b for training: a block per output channel and run of pixels, kPixels pixels a thread.
//
// The channel's lookups are decoded into shared memory once for all pixels of the block; each is then one multiply-add
// a pixel. Bound: one load of S a lookup and pixel, from the caches.
#include "kernels/cuda/staged_lookups.cuh"
#include "kernels/cuda/training.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPixels = 4;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    lookup_output_kernel(StageShape stage, unsigned positions, const T* __restrict__ s, LookupArrays<T> lookups,
                         const T* __restrict__ bias, T* __restrict__ y) {
  __shared__ StagedLookup<T> staged[kThreads];
  const int k = blockIdx.y, taps = stage.kernel_h * stage.kernel_w;
  const std::int64_t plane = static_cast<std::int64_t>(stage.height) * stage.width;
  const unsigned first = blockIdx.x * (kThreads * kPixels) + threadIdx.x;
  int row[kPixels], column[kPixels];
  const T* pixel[kPixels];  // in S's first plane
  Sum<T> sums[kPixels];
#pragma unroll
  for (int j = 0; j < kPixels; ++j) {
    const BatchPixel at = batch_pixel(min(first + j * kThreads, positions - 1), stage.out_height, stage.out_width);
    row[j] = at.row * stage.stride_h;
    column[j] = at.column * stage.stride_w;
    pixel[j] = s + at.image * (stage.in_channels * plane) + row[j] * stage.width + column[j];
    sums[j] = bias == nullptr ? Sum<T>(0) : widen(bias[k]);
  }
  const int last = lookups.row_offsets[(k + 1) * taps];
  for (int chunk = lookups.row_offsets[k * taps]; chunk < last; chunk += kThreads) {
    const int i = chunk + static_cast<int>(threadIdx.x);
    __syncthreads();
    if (i < last) {
      const int tap = row_of_lookup(lookups.row_offsets, k * taps, (k + 1) * taps, i) - k * taps;
      staged[threadIdx.x] = {lookups.indices[i], row_shift(stage, tap), column_shift(stage, tap), widen(lookups.coefficients[i])};
    }
    __syncthreads();
    const int count = min(kThreads, last - chunk);
    for (int l = 0; l < count; ++l) {
      const StagedLookup<T> lookup = staged[l];
      const std::int64_t offset = lookup.plane * plane + lookup.row_shift * stage.width + lookup.column_shift;
#pragma unroll
      for (int j = 0; j < kPixels; ++j) {
        if (!inside(row[j] + lookup.row_shift, stage.height) || !inside(column[j] + lookup.column_shift, stage.width)) continue;
        sums[j] += lookup.coefficient * widen(pixel[j][offset]);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kPixels; ++j) {
    if (first + j * kThreads >= positions) continue;
    const BatchPixel at = batch_pixel(first + j * kThreads, stage.out_height, stage.out_width);
    const std::int64_t line = (static_cast<std::int64_t>(at.image) * stage.out_channels + k) * stage.out_height + at.row;
    y[line * stage.out_width + at.column] = narrow<T>(sums[j]);
  }
}

}  // namespace

template <typename T>
void lookup_output(const LookupProblem& problem, const T* s, const LookupArrays<T>& lookups, const T* bias, T* y,
                   const TrainingExecution& execution) {
  const Conv2dProblem stage = problem.lookup_stage();
  const std::int64_t positions = stage.batch * stage.out_height() * stage.out_width();
  const dim3 grid(blocks_of(positions, kThreads * kPixels), static_cast<unsigned>(stage.out_channels));
  lookup_output_kernel<T><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
      StageShape(stage), static_cast<unsigned>(positions), s, lookups, bias, y);
  check_launch("lookup_output_kernel");
}

#define LCNN_INSTANTIATE(T)                                                                                           \
  template void lookup_output(const LookupProblem&, const T*, const LookupArrays<T>&, const T*, T*,                   \
                              const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
