// Problem: S [position][entry][image] = D [entries x C] X [image][position][C], C innermost.
// Tile:    a warp's: kEntryTiles * 16 entries at one position of 32 images; a block's warps take other entries, and X from the L1.
// Load:    a lane's channels of a product lie side by side in memory, 8 bytes; kAhead steps of X and D are on their way together.
// Compute: as dictionary_tile.cuh says. Store: two images at once, 32 images of an entry are one piece of memory.
// Bound:   latency: X and D are read from the L2 a few times, which takes less time than a read does.
#include "kernels/cuda/batch_dictionary.h"

#include <type_traits>

#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/dictionary_math.cuh"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

using namespace lcnn_device;

constexpr int kWarps = 4;  // of a block
constexpr int kThreads = kWarps * 32;
constexpr int kImageTiles = 4, kImages = kImageTiles * 8;  // of a warp

struct Shape {
  int channels, entries, batch, width, positions;
  InputDictionaryStrides strides;
};

// sums += D x of one step, x being this lane's channels of it.
template <typename Math>
__device__ void multiply_word(float (&sums)[4], const uint4 (&a)[Math::kTerms], uint2 x) {
  if constexpr (Math::kTerms == 2) {
    const float low_x = __uint_as_float(x.x), low_y = __uint_as_float(x.y);
    const uint2 high = Math::round_pair(low_x, low_y);
    const uint2 low = Math::round_pair(low_x - __uint_as_float(high.x), low_y - __uint_as_float(high.y));
    Math::mma(sums, a[0], low.x, low.y);
    Math::mma(sums, a[1], high.x, high.y);
    Math::mma(sums, a[0], high.x, high.y);
  } else if constexpr (Math::kStepChannels == 8) {
    Math::mma(sums, a[0], Math::round(__uint_as_float(x.x)), Math::round(__uint_as_float(x.y)));
  } else {
    Math::mma(sums, a[0], x.x, x.y);
  }
}

template <typename Math, int kEntryTiles>
__global__ void __launch_bounds__(kThreads)
    batch_dictionary_kernel(Shape shape, const typename Math::Element* __restrict__ x, const uint4* __restrict__ dictionary,
                            typename Math::Element* __restrict__ s) {
  constexpr int kLaneChannels = Math::kStepChannels / 4, kAhead = Math::kTerms == 2 ? kPromoteSteps : 8;
  using T = typename Math::Element;
  let_next_kernel_begin();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int position = blockIdx.x, first_tile = (blockIdx.y * kWarps + warp) * kEntryTiles, first_image = blockIdx.z * kImages;
  const int steps = (shape.channels + Math::kStepChannels - 1) / Math::kStepChannels, tiles = (shape.entries + 15) / 16;
  if (first_tile >= tiles) return;
  const T* lane_x[kImageTiles];
#pragma unroll
  for (int t = 0; t < kImageTiles; ++t) {
    const int image = min(first_image + t * 8 + lane / 4, shape.batch - 1);  // those that are not there are not stored
    lane_x[t] = x + (static_cast<i64>(image) * shape.positions + position) * shape.channels + lane % 4 * kLaneChannels;
  }
  float sums[kEntryTiles][kImageTiles][4] = {};
  for (int first = 0; first < steps; first += kAhead) {
    uint2 loaded[kAhead][kImageTiles];
    uint4 a[kAhead][kEntryTiles][Math::kTerms];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int step = first + i;
      const bool inside = step * Math::kStepChannels + lane % 4 * kLaneChannels < shape.channels;
#pragma unroll
      for (int t = 0; t < kImageTiles; ++t) {
        loaded[i][t] = inside ? __ldg(reinterpret_cast<const uint2*>(lane_x[t] + step * Math::kStepChannels)) : make_uint2(0, 0);
      }
#pragma unroll
      for (int m = 0; m < kEntryTiles; ++m) {
        const i64 tile = static_cast<i64>(min(step, steps - 1)) * tiles + min(first_tile + m, tiles - 1);
#pragma unroll
        for (int term = 0; term < Math::kTerms; ++term) a[i][m][term] = __ldg(dictionary + (tile * Math::kTerms + term) * 32 + lane);
      }
    }
    float partial[kEntryTiles][kImageTiles][4] = {};
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
#pragma unroll
      for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
        for (int t = 0; t < kImageTiles; ++t) multiply_word<Math>(partial[m][t], a[i][m], loaded[i][t]);
      }
    }
    // Few steps are summed in the matrix units, which truncate, and these sums are added to ours.
#pragma unroll
    for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
      for (int t = 0; t < kImageTiles; ++t) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[m][t][i] += partial[m][t][i];
      }
    }
  }

  T* const at = s + shape.strides.origin + position / shape.width * shape.strides.row + position % shape.width * shape.strides.column;
#pragma unroll
  for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
    for (int t = 0; t < kImageTiles; ++t) {
      const int image = first_image + t * 8 + accumulator_group(0);
#pragma unroll
      for (int i = 0; i < 4; i += 2) {
        const int entry = (first_tile + m) * 16 + accumulator_entry(i);
        if (entry >= shape.entries || image >= shape.batch) continue;
        const auto pair = Math::store_pair(sums[m][t][i], sums[m][t][i + 1]);
        *reinterpret_cast<std::remove_const_t<decltype(pair)>*>(at + entry * shape.strides.entry + image) = pair;
      }
    }
  }
}

}  // namespace

BatchDictionary::BatchDictionary(const Conv2dProblem& stage, std::span<const float> dictionary, Precision precision,
                                 const InputDictionaryStrides& strides, const Execution& execution)
    : stage_(stage),
      precision_(precision),
      strides_(strides),
      dictionary_(upload(std::span<const std::uint32_t>(pack_dictionary(stage, dictionary, precision)), MemoryKind::weights, execution)) {
  // Two entry tiles a warp read X half as often, where that leaves every multiprocessor a block.
  const std::int64_t blocks = stage.height * stage.width * divide_up(stage.batch, kImages) * divide_up(stage.out_channels, 2 * 16 * kWarps);
  if (blocks >= DeviceLimits().multiprocessors) entry_tiles_ = 2;
}

void BatchDictionary::run(const void* x, void* s, void* stream) const {
  const auto positions = static_cast<int>(stage_.height * stage_.width);
  const Shape shape{static_cast<int>(stage_.in_channels), static_cast<int>(stage_.out_channels), static_cast<int>(stage_.batch),
                    static_cast<int>(stage_.width), positions, strides_};
  const dim3 grid(positions, divide_up(stage_.out_channels, 16 * entry_tiles_ * kWarps), divide_up(stage_.batch, kImages));
  with_math(precision_, [&]<typename Math>(Math) {
    using T = typename Math::Element;
    const auto kernel = entry_tiles_ == 2 ? batch_dictionary_kernel<Math, 2> : batch_dictionary_kernel<Math, 1>;
    kernel<<<grid, kThreads, 0, as_stream(stream)>>>(shape, static_cast<const T*>(x), dictionary_.as<uint4>(), static_cast<T*>(s));
  });
  check_launch("batch_dictionary_kernel");
}

std::string BatchDictionary::choice() const { return "dictionary " + std::to_string(entry_tiles_ * 16) + " entries x 32 images a warp"; }

std::string BatchDictionary::why_unsupported(const Conv2dProblem& stage, Precision precision) {
  if (stage.taps() != 1 || stage.stride != Pair{1, 1} || stage.padding != Pair{0, 0}) {
    return "only 1x1 dictionaries (granularity vector) are supported";
  }
  if (stage.groups != 1) return "groups are not supported";
  const std::int64_t word = 8 / element_bytes(precision);
  if (stage.in_channels % word != 0) return "only input channels in multiples of " + std::to_string(word) + " are supported";
  return {};
}

}  // namespace lcnn::cuda
