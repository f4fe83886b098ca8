// Problem: S [entries x positions] = D [entries x C] X [C x positions], positions flattened over the images, whose rows are
//          multiples of 8 bytes; others are dictionary_planes.cu's.
// Tile:    a warp's, as dictionary_tile.cuh says; S leaves as kVector consecutive positions of a row a store.
// Load:    several steps of channels at once: few warps fit a multiprocessor, so each has as many on their way as it has registers.
// Bound:   bytes of X where many warps are in flight; small problems split the channels over the warps of a block.
#include "kernels/cuda/dictionary_stage.h"

#include <vector>

#include "kernels/cuda/device_limits.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/dictionary_sums.cuh"
#include "kernels/cuda/dictionary_tile.cuh"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

using namespace lcnn_device;

constexpr int kWarps = 4;           // of a block that shares no channels
constexpr int kLeastLoadBytes = 8;  // that a lane loads at once

// Narrow loads leave room for several of them: a warp's tile is at least 32 positions.
constexpr int loads_of(int vector) { return vector >= 4 ? 1 : 4 / vector; }

// Registers of a thread that hold sums; strict fp32 has two sets.
constexpr int sums_of(int terms, int entry_tiles, int vector) { return entry_tiles * loads_of(vector) * vector * 4 * terms; }

constexpr int block_threads(int split) { return 32 * (split > kWarps ? split : kWarps); }
constexpr int resident_threads(int sums) { return sums < 64 ? 512 : 384; }  // that a multiprocessor's registers hold

// As many as there are registers for X and D beside the sums.
constexpr int steps_in_flight(int step_channels, int terms, int entry_tiles, int vector, int element_bytes) {
  const int x_registers = loads_of(vector) * step_channels / 4 * (vector * element_bytes < 4 ? 1 : vector * element_bytes / 4);
  const int steps = (96 - sums_of(terms, entry_tiles, vector)) / (x_registers + entry_tiles * terms * 4);
  return steps < 2 ? 2 : steps > 8 ? 8 : steps;
}

struct Shape : DictionaryShape {
  int groups;        // batch * height * width / kVector
  bool whole_words;  // a group of S is contiguous and aligned
};

// Where entry 0 of a group's positions lies in S. Groups do not cross rows.
template <int kVector>
__device__ i64 group_offset(const Shape& shape, int group) {
  const int per_row = shape.width / kVector, row = group / per_row, image = row / shape.height;
  return shape.strides.origin + image * shape.strides.image + (row - image * shape.height) * shape.strides.row +
         (group - row * per_row) * kVector * shape.strides.column;
}

// kSplit warps share the channels of a tile.
template <typename Math, int kEntryTiles, int kVector, int kSplit>
__global__ void __launch_bounds__(block_threads(kSplit), resident_threads(sums_of(Math::kTerms, kEntryTiles, kVector)) / block_threads(kSplit))
    dictionary_kernel(Shape shape, const typename Math::Element* __restrict__ x, const uint4* __restrict__ dictionary,
                      typename Math::Element* __restrict__ s) {
  using T = typename Math::Element;
  constexpr int kLoads = loads_of(kVector), kPositions = kLoads * kVector;
  let_next_kernel_begin();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first_group = (kSplit > 1 ? blockIdx.x : blockIdx.x * kWarps + warp) * kGroups * kLoads;
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
  multiply<Math, kEntryTiles, kLoads, kVector, GlobalMemory, GlobalMemory, steps_in_flight(Math::kStepChannels, Math::kTerms, kEntryTiles, kVector, sizeof(T))>(
      lane_x, inside, shape.channels, plane, dictionary, (shape.entries + 15) / 16, first_tile, kSplit > 1 ? warp : 0, kSplit, sums);

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
  if constexpr (kSplit > 1) {
    __shared__ SharedSums<kEntryTiles * kPositions> shared;
    float added[kEntryTiles * kPositions];
    const auto sum = [&](int j, int i) -> float& { return sums[j / kPositions][j % kPositions][i]; };
    if (!add_over_warps<kSplit>(shared, sum, added)) return;
#pragma unroll
    for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
      for (int l = 0; l < kLoads; ++l) {
        float values[kVector];
#pragma unroll
        for (int v = 0; v < kVector; ++v) values[v] = added[m * kPositions + l * kVector + v];
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
  if (vector_ * element_bytes(precision) < kLeastLoadBytes) {
    plane_tile_ = plane_tile(shape(), precision, static_cast<int>(multiprocessors));
    return;
  }
  // Fewer than eight warps a multiprocessor cannot hide the loads: share the channels, a step or more each.
  const std::int64_t warp_tiles = stage.batch * plane / (vector_ * kGroups * loads_of(vector_));
  if (warp_tiles < 8 * multiprocessors && stage.in_channels >= 64) {
    split_ = stage.in_channels >= 2 * kSumWarps * step_channels(precision) ? 2 * kSumWarps : kSumWarps;
  }
  // As many entries a warp as registers hold, but for every multiprocessor a block; those that share channels fit it twice.
  const int terms = precision == Precision::fp32 ? 2 : 1;
  const std::int64_t tiles = divide_up(stage.out_channels, 16), blocks = split_ == 1 ? warp_tiles / kWarps : warp_tiles;
  const auto fits = [&](int entry_tiles) {
    return entry_tiles <= most_entry_tiles(precision, loads_of(vector_) * vector_) && (split_ == 1 || resident_threads(sums_of(terms, entry_tiles, vector_)) == 512);
  };
  while (entry_tiles_ < tiles && fits(2 * entry_tiles_) && (entry_tiles_ == 1 || blocks * tiles / (2 * entry_tiles_) >= multiprocessors)) entry_tiles_ *= 2;
}

DictionaryShape DictionaryStage::shape() const {
  return {.batch = static_cast<int>(stage_.batch), .channels = static_cast<int>(stage_.in_channels), .entries = static_cast<int>(stage_.out_channels),
          .height = static_cast<int>(stage_.height), .width = static_cast<int>(stage_.width), .strides = strides_};
}

void DictionaryStage::run(const void* x, void* s, void* stream) const {
  if (plane_tile_) {
    run_dictionary_planes(shape(), precision_, *plane_tile_, x, dictionary_.as<void>(), s, stream);
    return;
  }
  const Shape shape{this->shape(), static_cast<int>(stage_.batch * stage_.height * stage_.width / vector_), whole_words(strides_, precision_)};
  const int block_groups = kGroups * loads_of(vector_) * (split_ == 1 ? kWarps : 1);
  const dim3 grid(divide_up(shape.groups, block_groups), divide_up(shape.entries, 16 * entry_tiles_));
  with_math(precision_, [&]<typename Math>(Math) {
    using T = typename Math::Element;
    with_constant<2, 4, 8>(vector_, [&](auto vector) {
      if constexpr (vector() * sizeof(T) >= kLeastLoadBytes && vector() * sizeof(T) <= 16) {
        with_constant<1, 2, 4>(entry_tiles_, [&](auto entry_tiles) {
          if constexpr (entry_tiles() <= most_entry_tiles(Math::kTerms, loads_of(vector()) * vector())) {
            with_constant<1, kSumWarps, 2 * kSumWarps>(split_, [&](auto split) {
              dictionary_kernel<Math, entry_tiles(), vector(), split()><<<grid, block_threads(split()), 0, as_stream(stream)>>>(
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
  if (plane_tile_) {
    return "dictionary " + std::to_string(plane_tile_->loads * 8) + " positions x " + std::to_string(plane_tile_->entry_tiles * 16) + " entries a block of " +
           std::to_string(plane_tile_->split) + " warps, X through shared memory";
  }
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
