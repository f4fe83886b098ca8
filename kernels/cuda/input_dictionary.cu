// S = conv(X, D) for training: one thread per output pixel and kEntries dictionary entries.
//
// D is a tensor that changes each step, so nothing is packed. Bound: one load of X for kEntries multiply-adds; the
// entries' values are the same for the whole warp and come from the L1.
#include "kernels/cuda/training.h"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEntries = 8;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    input_dictionary_kernel(StageShape stage, unsigned positions, const T* __restrict__ x, const T* __restrict__ dictionary,
                            T* __restrict__ s) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= positions) return;
  const BatchPixel at = batch_pixel(index, stage.out_height, stage.out_width);
  const int blocks = (stage.out_channels_per_group + kEntries - 1) / kEntries;
  const int group = blockIdx.y / blocks, first = blockIdx.y % blocks * kEntries;
  const int count = min(kEntries, stage.out_channels_per_group - first);
  const int channels = stage.in_channels_per_group, taps = stage.kernel_h * stage.kernel_w;
  const std::int64_t plane = static_cast<std::int64_t>(stage.height) * stage.width;
  const T* image = x + (static_cast<std::int64_t>(at.image) * stage.in_channels + group * channels) * plane;
  const std::int64_t first_entry = static_cast<std::int64_t>(group) * stage.out_channels_per_group + first;
  const T* values = dictionary + first_entry * channels * taps;

  Sum<T> sums[kEntries] = {};
  for (int r = 0; r < stage.kernel_h; ++r) {
    const int h = at.row * stage.stride_h - stage.padding_h + r * stage.dilation_h;
    if (h < 0 || h >= stage.height) continue;
    for (int c = 0; c < stage.kernel_w; ++c) {
      const int w = at.column * stage.stride_w - stage.padding_w + c * stage.dilation_w;
      if (w < 0 || w >= stage.width) continue;
      const T* pixel = image + h * stage.width + w;
      const T* tap = values + r * stage.kernel_w + c;
      for (int channel = 0; channel < channels; ++channel, pixel += plane, tap += taps) {
        const Sum<T> value = widen(*pixel);
#pragma unroll
        for (int j = 0; j < kEntries; ++j) {
          if (j < count) sums[j] += value * widen(tap[static_cast<std::int64_t>(j) * channels * taps]);
        }
      }
    }
  }
  const std::int64_t out_plane = static_cast<std::int64_t>(stage.out_height) * stage.out_width;
  T* out = s + (static_cast<std::int64_t>(at.image) * stage.out_channels + first_entry) * out_plane +
           at.row * stage.out_width + at.column;
#pragma unroll
  for (int j = 0; j < kEntries; ++j) {
    if (j < count) out[j * out_plane] = narrow<T>(sums[j]);
  }
}

}  // namespace

template <typename T>
void input_dictionary(const LookupProblem& problem, const T* x, const T* dictionary, T* s,
                      const TrainingExecution& execution) {
  const Conv2dProblem stage = problem.dictionary_stage();
  const std::int64_t positions = stage.batch * stage.out_height() * stage.out_width();
  const dim3 grid(blocks_of(positions, kThreads),
                  static_cast<unsigned>(stage.groups) * blocks_of(stage.out_channels_per_group(), kEntries));
  input_dictionary_kernel<T><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
      StageShape(stage), static_cast<unsigned>(positions), x, dictionary, s);
  check_launch("input_dictionary_kernel");
}

#define LCNN_INSTANTIATE(T) \
  template void input_dictionary(const LookupProblem&, const T*, const T*, T*, const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
