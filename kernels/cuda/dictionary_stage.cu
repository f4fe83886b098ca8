// Problem: S [entries x positions] = D [entries x C] X [C x positions], positions flattened over the images.
// Tile:    a warp's, as dictionary_tile.cuh says; S leaves as kVector consecutive positions of a row a store.
// Bound:   bytes of X where many warps are in flight; small problems split the channels over the warps of a block.
#include "kernels/cuda/dictionary_stage.h"

#include <type_traits>
#include <vector>

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

// Narrow loads leave room for several of them: a warp's tile is at least 32 positions.
constexpr int loads_of(int vector) { return vector >= 4 ? 1 : 4 / vector; }

struct Shape {
  int channels, entries, height, width;
  int groups;  // batch * height * width / kVector
  InputDictionaryStrides strides;
  bool whole_words;  // a group of S is contiguous and aligned
};

// Where entry 0 of a group's positions lies in S. Groups do not cross rows.
template <int kVector>
__device__ i64 group_offset(const Shape& shape, int group) {
  const int per_row = shape.width / kVector, row = group / per_row, image = row / shape.height;
  return shape.strides.origin + image * shape.strides.image + (row - image * shape.height) * shape.strides.row +
         (group - row * per_row) * kVector * shape.strides.column;
}

template <typename Math, int kEntryTiles, int kVector, bool kSplit>
__global__ void __launch_bounds__(kThreads)
    dictionary_kernel(Shape shape, const typename Math::Element* __restrict__ x, const uint4* __restrict__ dictionary,
                      typename Math::Element* __restrict__ s) {
  using T = typename Math::Element;
  constexpr int kLoads = loads_of(kVector), kPositions = kLoads * kVector;
  let_next_kernel_begin();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first_group = (kSplit ? blockIdx.x : blockIdx.x * kWarps + warp) * kGroups * kLoads;
  const int first_tile = blockIdx.y * kEntryTiles, plane = shape.height * shape.width, per_image = plane / kVector;
  const T* lane_x[kLoads];
  bool inside[kLoads];
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
    const int group = first_group + l * kGroups + lane / 4;
    inside[l] = group < shape.groups;
    lane_x[l] = x + static_cast<i64>(group / per_image) * shape.channels * plane + group % per_image * kVector;
  }
  float sums[kEntryTiles][kPositions][4] = {};
  multiply<Math, kEntryTiles, kLoads, kVector>(lane_x, inside, shape.channels, plane, dictionary,
                                               (shape.entries + 15) / 16, first_tile, kSplit ? warp : 0, kSplit ? kWarps : 1,
                                               sums);

  i64 offsets[kLoads][2];  // of this lane's groups of accumulators
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
#pragma unroll
    for (int i = 0; i < 2; ++i) offsets[l][i] = group_offset<kVector>(shape, first_group + l * kGroups + accumulator_group(i));
  }
  const auto store_accumulator = [&](int m, int l, int i, i64 offset, const float (&values)[kVector]) {
    const int entry = (first_tile + m) * 16 + accumulator_entry(i), group = first_group + l * kGroups + accumulator_group(i);
    if (entry >= shape.entries || group >= shape.groups) return;
    T* at = s + offset + entry * shape.strides.entry;
    Vector<T, kVector> stored;
#pragma unroll
    for (int v = 0; v < kVector; ++v) stored.values[v] = Math::store(values[v]);
    if (shape.whole_words) {
      *reinterpret_cast<decltype(stored.word)*>(at) = stored.word;
      return;
    }
#pragma unroll
    for (int v = 0; v < kVector; ++v) at[v * shape.strides.column] = stored.values[v];
  };
  if constexpr (kSplit) {
    // Each warp adds up and stores one of the four accumulators of every product.
    static_assert(kWarps == 4);
    __shared__ float shared[kWarps][4][kEntryTiles * kPositions][32];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < kEntryTiles * kPositions; ++j) shared[warp][i][j][lane] = sums[j / kPositions][j % kPositions][i];
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
      for (int l = 0; l < kLoads; ++l) {
        float values[kVector];
#pragma unroll
        for (int v = 0; v < kVector; ++v) {
          const int j = m * kPositions + l * kVector + v;
          values[v] = shared[0][warp][j][lane] + shared[1][warp][j][lane] + shared[2][warp][j][lane] + shared[3][warp][j][lane];
        }
        store_accumulator(m, l, warp, warp % 2 == 0 ? offsets[l][0] : offsets[l][1], values);
      }
    }
  } else {
#pragma unroll
    for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
      for (int l = 0; l < kLoads; ++l) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float values[kVector];
#pragma unroll
          for (int v = 0; v < kVector; ++v) values[v] = sums[m][l * kVector + v][i];
          store_accumulator(m, l, i, offsets[l][i % 2], values);
        }
      }
    }
  }
}

// Calls function(integral_constant) with the runtime value, which must be among kValues.
template <int... kValues, typename Function>
void with_constant(int value, Function&& function) {
  (void)((value == kValues && (function(std::integral_constant<int, kValues>{}), true)) || ...);
}

bool whole_words(const InputDictionaryStrides& strides, Precision precision) {
  const std::int64_t word = 16 / element_bytes(precision);
  const auto divides = [&](std::int64_t stride) { return stride % word == 0; };
  return strides.column == 1 && divides(strides.origin) && divides(strides.image) && divides(strides.entry) && divides(strides.row);
}

}  // namespace

DictionaryStage::DictionaryStage(const Conv2dProblem& stage, std::span<const float> dictionary, Precision precision,
                                 const InputDictionaryStrides& strides, const Execution& execution)
    : stage_(stage),
      precision_(precision),
      strides_(strides),
      dictionary_(upload(std::span<const std::uint32_t>(pack_dictionary(stage, dictionary, precision)), MemoryKind::weights, execution)) {
  const std::int64_t plane = stage.height * stage.width, multiprocessors = DeviceLimits().multiprocessors;
  vector_ = widest_vector(stage.width, precision);
  // Fewer than eight warps a multiprocessor cannot hide the loads: share the channels.
  const std::int64_t warp_tiles = stage.batch * plane / (vector_ * kGroups * loads_of(vector_));
  if (warp_tiles < 8 * multiprocessors && stage.in_channels >= 64) split_ = kWarps;
  // As many entries a warp as registers hold, but for every multiprocessor a block.
  const std::int64_t tiles = divide_up(stage.out_channels, 16), blocks = warp_tiles * split_ / kWarps;
  while (entry_tiles_ < tiles && entry_tiles_ < most_entry_tiles(precision, loads_of(vector_) * vector_) &&
         (entry_tiles_ == 1 || blocks * tiles / (2 * entry_tiles_) >= multiprocessors)) {
    entry_tiles_ *= 2;
  }
}

void DictionaryStage::run(const void* x, void* s, void* stream) const {
  const Shape shape{static_cast<int>(stage_.in_channels), static_cast<int>(stage_.out_channels), static_cast<int>(stage_.height),
                    static_cast<int>(stage_.width), static_cast<int>(stage_.batch * stage_.height * stage_.width / vector_),
                    strides_, whole_words(strides_, precision_)};
  const int block_groups = kGroups * loads_of(vector_) * (split_ == 1 ? kWarps : 1);
  const dim3 grid(divide_up(shape.groups, block_groups), divide_up(shape.entries, 16 * entry_tiles_));
  with_math(precision_, [&]<typename Math>(Math) {
    using T = typename Math::Element;
    with_constant<1, 2, 4, 8>(vector_, [&](auto vector) {
      if constexpr (vector() * sizeof(T) <= 16) {
        with_constant<1, 2, 4>(entry_tiles_, [&](auto entry_tiles) {
          if constexpr (entry_tiles() <= most_entry_tiles(Math::kTerms, loads_of(vector()) * vector())) {
            with_constant<1, kWarps>(split_, [&](auto split) {
              dictionary_kernel<Math, entry_tiles(), vector(), split() != 1><<<grid, kThreads, 0, as_stream(stream)>>>(
                  shape, static_cast<const T*>(x), dictionary_.as<uint4>(), static_cast<T*>(s));
            });
          }
        });
      }
    });
  });
  check_launch("dictionary_kernel");
}

std::string DictionaryStage::choice() const {
  return "dictionary " + std::to_string(vector_) + " positions a load, " + std::to_string(entry_tiles_ * 16) + " entries a warp" +
         (split_ > 1 ? ", channels split" : "");
}

std::string DictionaryStage::why_unsupported(const Conv2dProblem& stage) {
  if (stage.taps() != 1 || stage.stride != Pair{1, 1} || stage.padding != Pair{0, 0}) {
    return "only 1x1 dictionaries (granularity vector) are supported";
  }
  if (stage.groups != 1) return "groups are not supported";
  if (stage.in_channels > 3072) return "more than 3072 input channels are not supported";
  if (stage.batch * stage.height * stage.width > (std::int64_t{1} << 30)) return "more than 2^30 positions are not supported";
  return {};
}

}  // namespace lcnn::cuda
