// dX = the adjoint of conv(X, D) applied to dS: one thread per input pixel and kChannels channels, no atomics.
//
// Bound: one load of dS for kChannels multiply-adds; D's values are the same for the whole warp and come from the L1.
#include "kernels/cuda/training.h"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChannels = 8;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    input_gradient_kernel(StageShape stage, unsigned positions, const T* __restrict__ grad_s,
                          const T* __restrict__ dictionary, T* __restrict__ grad_x) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= positions) return;
  const BatchPixel at = batch_pixel(index, stage.height, stage.width);
  const int channels = stage.in_channels_per_group, taps = stage.kernel_h * stage.kernel_w;
  const int blocks = (channels + kChannels - 1) / kChannels;
  const int group = blockIdx.y / blocks, first = blockIdx.y % blocks * kChannels;
  const int count = min(kChannels, channels - first);
  const std::int64_t out_plane = static_cast<std::int64_t>(stage.out_height) * stage.out_width;
  const std::int64_t first_entry = static_cast<std::int64_t>(group) * stage.out_channels_per_group;
  const T* image = grad_s + (static_cast<std::int64_t>(at.image) * stage.out_channels + first_entry) * out_plane;
  const T* values = dictionary + (first_entry * channels + first) * taps;

  Sum<T> sums[kChannels] = {};
  for (int r = 0; r < stage.kernel_h; ++r) {
    const int p = output_meeting(at.row, r * stage.dilation_h - stage.padding_h, stage.stride_h, stage.out_height);
    if (p < 0) continue;
    for (int c = 0; c < stage.kernel_w; ++c) {
      const int q = output_meeting(at.column, c * stage.dilation_w - stage.padding_w, stage.stride_w, stage.out_width);
      if (q < 0) continue;
      const T* pixel = image + p * stage.out_width + q;
      const T* tap = values + r * stage.kernel_w + c;
      for (int e = 0; e < stage.out_channels_per_group; ++e, pixel += out_plane, tap += channels * taps) {
        const Sum<T> value = widen(*pixel);
#pragma unroll
        for (int j = 0; j < kChannels; ++j) {
          if (j < count) sums[j] += value * widen(tap[j * taps]);
        }
      }
    }
  }
  const std::int64_t plane = static_cast<std::int64_t>(stage.height) * stage.width;
  T* out = grad_x + (static_cast<std::int64_t>(at.image) * stage.in_channels + group * channels + first) * plane +
           at.row * stage.width + at.column;
#pragma unroll
  for (int j = 0; j < kChannels; ++j) {
    if (j < count) out[j * plane] = narrow<T>(sums[j]);
  }
}

}  // namespace

template <typename T>
void input_gradient(const LookupProblem& problem, const T* grad_s, const T* dictionary, T* grad_x,
                    const TrainingExecution& execution) {
  const Conv2dProblem stage = problem.dictionary_stage();
  const std::int64_t positions = stage.batch * stage.height * stage.width;
  const dim3 grid(blocks_of(positions, kThreads),
                  static_cast<unsigned>(stage.groups) * blocks_of(stage.in_channels_per_group(), kChannels));
  input_gradient_kernel<T><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
      StageShape(stage), static_cast<unsigned>(positions), grad_s, dictionary, grad_x);
  check_launch("input_gradient_kernel");
}

#define LCNN_INSTANTIATE(T) \
  template void input_gradient(const LookupProblem&, const T*, const T*, T*, const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
