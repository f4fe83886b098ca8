// Problem: S [entries x positions] = D [entries x C] X [C x positions], positions flattened over the images.
// Tile:    a warp's, as dictionary_tile.cuh says; S leaves as kVector consecutive positions a store.
// Bound:   bytes of X where many warps are in flight; small problems split the channels over the warps of a block.
#include "kernels/cuda/dictionary_stage.h"

#include <type_traits>
#include <vector>

#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/dictionary_tile.cuh"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

using namespace lcnn_device;

constexpr int kWarps = 4;  // of a block
constexpr int kThreads = kWarps * 32;

struct Shape {
  int channels, entries, plane;  // plane = H * W
  int groups;                    // batch * plane / kVector
};

// Where a group of positions starts in X (`rows` = channels) or S (`rows` = entries).
template <int kVector>
__device__ i64 group_offset(const Shape& shape, int group, int rows) {
  const int per_image = shape.plane / kVector;
  return static_cast<i64>(group / per_image) * rows * shape.plane + group % per_image * kVector;
}

// Adds the sums of the block's other warps to warp 0's.
template <int kCount>
__device__ void reduce_over_warps(float* sums) {
  __shared__ float shared[kWarps - 1][kCount][32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warp > 0) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) shared[warp - 1][i][lane] = sums[i];
  }
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
#pragma unroll
    for (int w = 0; w < kWarps - 1; ++w) sums[i] += shared[w][i][lane];
  }
}

template <typename Math, int kEntryTiles, int kVector, bool kSplit>
__global__ void __launch_bounds__(kThreads)
    dictionary_kernel(Shape shape, const typename Math::Element* __restrict__ x, const uint4* __restrict__ dictionary,
                      typename Math::Element* __restrict__ s) {
  using T = typename Math::Element;
  let_next_kernel_begin();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int tile = kSplit ? blockIdx.x : blockIdx.x * kWarps + warp;
  const int group = tile * kGroups + lane / 4;
  const int first_tile = blockIdx.y * kEntryTiles;
  float sums[kEntryTiles][kVector][4] = {};
  multiply<Math, kEntryTiles, kVector>(x + group_offset<kVector>(shape, group, shape.channels), group < shape.groups,
                                       shape.channels, shape.plane, dictionary, (shape.entries + 15) / 16, first_tile,
                                       kSplit ? warp : 0, kSplit ? kWarps : 1, sums);
  if constexpr (kSplit) {
    reduce_over_warps<kEntryTiles * kVector * 4>(&sums[0][0][0]);
    if (warp > 0) return;
  }
#pragma unroll
  for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int entry = (first_tile + m) * 16 + accumulator_entry(i), out_group = tile * kGroups + accumulator_group(i);
      if (entry >= shape.entries || out_group >= shape.groups) continue;
      Vector<T, kVector> stored;
#pragma unroll
      for (int v = 0; v < kVector; ++v) stored.values[v] = Math::store(sums[m][v][i]);
      T* out = s + group_offset<kVector>(shape, out_group, shape.entries) + static_cast<i64>(entry) * shape.plane;
      *reinterpret_cast<decltype(stored.word)*>(out) = stored.word;
    }
  }
}

int multiprocessors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count;
}

// Calls function(integral_constant) with the runtime value, which must be among kValues.
template <int... kValues, typename Function>
void with_constant(int value, Function&& function) {
  (void)((value == kValues && (function(std::integral_constant<int, kValues>{}), true)) || ...);
}

// Calls function(Math{}) with what `precision` multiplies.
template <typename Function>
void with_math(Precision precision, Function&& function) {
  switch (precision) {
    case Precision::fp32: return function(Strict{});
    case Precision::tf32: return function(Tf32{});
    case Precision::fp16: return function(Half{});
    case Precision::bf16: return function(Bfloat{});
  }
}

// Entry tiles of 16 that one warp keeps sums for: as many as registers hold with `vector` positions each; strict fp32
// keeps two sets of sums.
template <typename Math>
constexpr int most_entry_tiles(int vector) {
  const int tiles = vector == 8 ? 2 : 4;
  return Math::kTerms == 2 ? tiles / 2 : tiles;
}

}  // namespace

DictionaryStage::DictionaryStage(const Conv2dProblem& stage, std::span<const float> dictionary, Precision precision,
                                 const Execution& execution)
    : stage_(stage),
      precision_(precision),
      dictionary_(upload(std::span<const std::uint32_t>(pack_dictionary(stage, dictionary, precision)), MemoryKind::weights, execution)) {
  const std::int64_t plane = stage.height * stage.width;
  for (const int vector : {2, 4, 8}) {
    if (vector * element_bytes(precision) <= 16 && plane % vector == 0) vector_ = vector;
  }
  // Fewer than eight warps a multiprocessor cannot hide the loads: share the channels.
  const std::int64_t warps = stage.batch * plane / vector_ / kGroups;
  if (warps < 8 * multiprocessors() && stage.in_channels >= 64) split_ = kWarps;
}

void DictionaryStage::run(const void* x, void* s, void* stream) const {
  const auto plane = static_cast<int>(stage_.height * stage_.width);
  const Shape shape{static_cast<int>(stage_.in_channels), static_cast<int>(stage_.out_channels), plane,
                    static_cast<int>(stage_.batch * plane / vector_)};
  const int tile_groups = kGroups * (split_ == 1 ? kWarps : 1), tiles = (shape.entries + 15) / 16;
  const auto blocks = static_cast<unsigned>((shape.groups + tile_groups - 1) / tile_groups);
  with_math(precision_, [&]<typename Math>(Math) {
    using T = typename Math::Element;
    int warp_tiles = 1;
    while (warp_tiles < tiles && warp_tiles < most_entry_tiles<Math>(vector_)) warp_tiles *= 2;
    const dim3 grid(blocks, static_cast<unsigned>((tiles + warp_tiles - 1) / warp_tiles));
    with_constant<1, 2, 4, 8>(vector_, [&](auto vector) {
      if constexpr (vector() * sizeof(T) <= 16) {
        with_constant<1, 2, 4>(warp_tiles, [&](auto entry_tiles) {
          if constexpr (entry_tiles() <= most_entry_tiles<Math>(vector())) {
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
  return "dictionary " + std::to_string(vector_) + " positions a load" + (split_ > 1 ? ", channels split" : "");
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
