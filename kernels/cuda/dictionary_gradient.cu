// dD = dS with X at every tap, summed over images and pixels: a block per kEntries x kChannels tile, tap and split.
//
// Each thread keeps the tile's products for its pixels in registers. Bound: kEntries + kChannels loads for
// kEntries * kChannels multiply-adds, from the L2 where tiles share them.
#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/split_sums.h"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEntries = 4;
constexpr int kChannels = 8;

// The tiles of one group: entries, then channels, then taps.
struct Tiles {
  int entries, channels, taps;

  explicit Tiles(const Conv2dProblem& stage)
      : entries(static_cast<int>(blocks_of(stage.out_channels_per_group(), kEntries))),
        channels(static_cast<int>(blocks_of(stage.in_channels_per_group(), kChannels))),
        taps(static_cast<int>(stage.taps())) {}
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    dictionary_gradient_kernel(StageShape stage, Tiles tiles, unsigned positions, const T* __restrict__ grad_s,
                               const T* __restrict__ x, SplitResult<Sum<T>> result) {
  int tile = blockIdx.x;
  const int first_entry = tile % tiles.entries * kEntries;
  tile /= tiles.entries;
  const int first_channel = tile % tiles.channels * kChannels;
  tile /= tiles.channels;
  const int tap = tile % tiles.taps, group = tile / tiles.taps;
  const int entries = min(kEntries, stage.out_channels_per_group - first_entry);
  const int channels = min(kChannels, stage.in_channels_per_group - first_channel);
  const std::int64_t plane = static_cast<std::int64_t>(stage.height) * stage.width;
  const std::int64_t out_plane = static_cast<std::int64_t>(stage.out_height) * stage.out_width;
  const int entry = group * stage.out_channels_per_group + first_entry;
  const int channel = group * stage.in_channels_per_group + first_channel;
  const int row_shift = tap / stage.kernel_w * stage.dilation_h - stage.padding_h;
  const int column_shift = tap % stage.kernel_w * stage.dilation_w - stage.padding_w;

  Sum<T> sums[kEntries * kChannels] = {};
  for (unsigned index = blockIdx.y * kThreads + threadIdx.x; index < positions; index += gridDim.y * kThreads) {
    const BatchPixel at = batch_pixel(index, stage.out_height, stage.out_width);
    const int h = at.row * stage.stride_h + row_shift, w = at.column * stage.stride_w + column_shift;
    if (h < 0 || h >= stage.height || w < 0 || w >= stage.width) continue;
    const T* ds = grad_s + (static_cast<std::int64_t>(at.image) * stage.out_channels + entry) * out_plane +
                  at.row * stage.out_width + at.column;
    const T* pixel = x + (static_cast<std::int64_t>(at.image) * stage.in_channels + channel) * plane + h * stage.width + w;
    Sum<T> values[kChannels];
#pragma unroll
    for (int c = 0; c < kChannels; ++c) values[c] = c < channels ? widen(pixel[c * plane]) : Sum<T>(0);
#pragma unroll
    for (int e = 0; e < kEntries; ++e) {
      if (e >= entries) break;
      const Sum<T> gradient = widen(ds[e * out_plane]);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) sums[e * kChannels + c] += gradient * values[c];
    }
  }
  const Sum<T> sum = block_sum<kThreads>(sums);
  const int e = threadIdx.x / kChannels, c = threadIdx.x % kChannels;
  if (e >= entries || c >= channels) return;
  const std::int64_t row = static_cast<std::int64_t>(entry + e) * stage.in_channels_per_group + first_channel + c;
  result.put(blockIdx.y, row * tiles.taps + tap, sum);
}

}  // namespace

template <typename T>
void dictionary_gradient(const LookupProblem& problem, const T* grad_s, const T* x, Sum<T>* grad_dictionary,
                         const TrainingExecution& execution) {
  const Conv2dProblem stage = problem.dictionary_stage();
  const Tiles tiles(stage);
  const std::int64_t blocks = stage.groups * tiles.entries * tiles.channels * tiles.taps;
  const std::int64_t positions = stage.batch * stage.out_height() * stage.out_width();
  const SplitSums<Sum<T>> sums(grad_dictionary, stage.weight_elements(), blocks, positions, execution);
  dictionary_gradient_kernel<T><<<dim3(static_cast<unsigned>(blocks), sums.splits()), kThreads, 0, as_stream(execution.stream)>>>(
      StageShape(stage), tiles, static_cast<unsigned>(positions), grad_s, x, sums.result());
  check_launch("dictionary_gradient_kernel");
  sums.finish();
}

#define LCNN_INSTANTIATE(T) \
  template void dictionary_gradient(const LookupProblem&, const T*, const T*, Sum<T>*, const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
