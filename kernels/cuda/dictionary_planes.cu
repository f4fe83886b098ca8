// Problem: S [entries x positions] = D [entries x C] X [C x positions] for images whose rows are no multiple of 8 bytes.
// Tile:    kLoads * 8 positions of one image x kEntryTiles * 16 entries a block; its warps share the channels.
// Load:    X in words of 16 bytes to shared memory, some channels at once: an element lies in a word there where it lies in
//          memory. Loads of 2 or 4 bytes straight to registers are what bound these images.
// Compute: as dictionary_tile.cuh says, one position a load.
// Bound:   latency of X and of D, where images are small.
#include "kernels/cuda/check.h"
#include "kernels/cuda/dictionary_kernels.h"
#include "kernels/cuda/dictionary_sums.cuh"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

using namespace lcnn_device;

constexpr int kSharedBytes = 100 * 1024;  // two blocks fit a multiprocessor

// The 16 bytes of x that begin at element `at`, into shared memory; nothing behind the end of x is read.
template <typename T>
__device__ __forceinline__ void copy_word(T* to, const T* x, i64 at, i64 elements) {
  constexpr int kWord = 16 / sizeof(T);
  const int bytes = static_cast<int>(min(elements - at, static_cast<i64>(kWord))) * static_cast<int>(sizeof(T));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(x + at), "r"(bytes) : "memory");
}

template <typename Math, int kEntryTiles, int kLoads, int kSplit>
__global__ void __launch_bounds__(kSplit * 32, 512 / (kSplit * 32))
    dictionary_planes_kernel(DictionaryShape shape, int chunk_channels, int pitch, const typename Math::Element* __restrict__ x,
                             const uint4* __restrict__ dictionary, typename Math::Element* __restrict__ s) {
  using T = typename Math::Element;
  constexpr int kWord = 16 / sizeof(T), kThreads = kSplit * 32, kMostWords = (kLoads * kGroups + 2 * kWord - 2) / kWord;
  constexpr int kInFlight = kEntryTiles * kLoads * Math::kTerms * 4 < 56 ? 4 : 2;
  extern __shared__ uint4 shared[];
  T* staged = reinterpret_cast<T*>(shared);
  let_next_kernel_begin();
  wait_for_previous_kernel();
  const int plane = shape.height * shape.width, image_tiles = (plane + kLoads * kGroups - 1) / (kLoads * kGroups);
  const int image = blockIdx.x / image_tiles, first_position = blockIdx.x % image_tiles * kLoads * kGroups, first_tile = blockIdx.y * kEntryTiles;
  const int positions = min(kLoads * kGroups, plane - first_position), entry_tiles = (shape.entries + 15) / 16;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const i64 elements = static_cast<i64>(shape.batch) * shape.channels * plane;

  float sums[kEntryTiles][kLoads][4] = {};
  for (int first = 0; first < shape.channels; first += chunk_channels) {
    const int channels = min(chunk_channels, shape.channels - first);
    const i64 begin = (static_cast<i64>(image) * shape.channels + first) * plane + first_position;
    const int phase = static_cast<int>(begin % kWord);
    if (first > 0) __syncthreads();  // the channels in front have been read
    for (int i = threadIdx.x; i < channels * kMostWords; i += kThreads) {
      const int channel = i / kMostWords, word = i % kMostWords * kWord, start = phase + channel * pitch;
      if (word < start % kWord + positions) {
        copy_word(staged + start / kWord * kWord + word, x, (begin + static_cast<i64>(channel) * plane) / kWord * kWord + word, elements);
      }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    const T* lane_x[kLoads];
    bool inside[kLoads];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
      inside[l] = l * kGroups + lane / 4 < positions;
      lane_x[l] = staged + phase + l * kGroups + lane / 4;
    }
    multiply<Math, kEntryTiles, kLoads, 1, SharedMemory, GlobalMemory, kInFlight>(
        lane_x, inside, channels, pitch, dictionary + static_cast<i64>(first / Math::kStepChannels) * entry_tiles * Math::kTerms * 32, entry_tiles,
        first_tile, warp, kSplit, sums);
  }

  __syncthreads();  // sums take X's place
  constexpr int kCount = kEntryTiles * kLoads;
  float added[kCount];
  const auto sum = [&](int j, int i) -> float& { return sums[j / kLoads][j % kLoads][i]; };
  if (!add_over_warps<kSplit>(*reinterpret_cast<SharedSums<kCount>*>(shared), sum, added)) return;
#pragma unroll
  for (int l = 0; l < kLoads; ++l) {
    const int position = first_position + l * kGroups + accumulator_group(warp), row = position / shape.width;
    if (position >= plane) continue;
    T* at = s + shape.strides.origin + image * shape.strides.image + row * shape.strides.row + (position - row * shape.width) * shape.strides.column;
#pragma unroll
    for (int m = 0; m < kEntryTiles; ++m) {
      const int entry = (first_tile + m) * 16 + accumulator_entry(warp);
      if (entry < shape.entries) at[entry * shape.strides.entry] = Math::store(added[m * kLoads + l]);
    }
  }
}

constexpr int most_tiles(int terms, int loads) { return 64 / terms / (loads * 4); }

// How many of the 32 lanes that read one position of four channels each, `pitch` elements apart times `lane_channels`, meet others in a bank.
int bank_conflicts(int pitch, int lane_channels, int element_bytes) {
  int most = 0;
  int words[32] = {}, counts[32] = {};
  for (int lane = 0; lane < 32; ++lane) words[lane] = (lane % 4 * lane_channels * pitch + lane / 4) * element_bytes / 4;
  for (int lane = 0; lane < 32; ++lane) {
    bool seen = false;
    for (int other = 0; other < lane; ++other) seen |= words[other] == words[lane];
    if (!seen) most = most > ++counts[words[lane] % 32] ? most : counts[words[lane] % 32];
  }
  return most;
}

}  // namespace

PlaneTile plane_tile(const DictionaryShape& shape, Precision precision, int multiprocessors) {
  PlaneTile tile;
  const int plane = shape.height * shape.width, terms = precision == Precision::fp32 ? 2 : 1, bytes = static_cast<int>(element_bytes(precision));
  const auto covered = [&](int loads) { return divide_up(plane, loads * 8) * loads * 8; };
  if (covered(7) < covered(4)) tile.loads = 7;
  if (shape.channels >= 8 * step_channels(precision)) tile.split = 8;
  const int tiles = divide_up(shape.entries, 16);
  const std::int64_t blocks = static_cast<std::int64_t>(divide_up(plane, tile.loads * 8)) * shape.batch;
  while (tile.entry_tiles < tiles && tile.entry_tiles * 2 <= most_tiles(terms, tile.loads) &&
         blocks * divide_up(tiles, 2 * tile.entry_tiles) >= multiprocessors) {
    tile.entry_tiles *= 2;
  }
  // An element lies in a word where it lies in memory: pitch and plane are the same modulo a word.
  const int word = 16 / bytes, least = tile.loads * 8 + 2 * word;
  tile.pitch = least + (plane - least % word + word) % word;
  for (int pitch = tile.pitch + word, tries = 1; tries < 8; pitch += word, ++tries) {
    const int lane_channels = step_channels(precision) / 4;
    if (bank_conflicts(pitch, lane_channels, bytes) < bank_conflicts(tile.pitch, lane_channels, bytes)) tile.pitch = pitch;
  }
  const int step = step_channels(precision), fit = (kSharedBytes - 16) / (tile.pitch * bytes) / step * step;
  tile.chunk_channels = fit < shape.channels ? fit : shape.channels;
  const int staged = (tile.chunk_channels * tile.pitch + word) * bytes, sums = kSumWarps * 4 * tile.entry_tiles * tile.loads * 32 * 4;
  tile.shared_bytes = staged > sums ? staged : sums;
  return tile;
}

void run_dictionary_planes(const DictionaryShape& shape, Precision precision, const PlaneTile& tile, const void* x, const void* dictionary,
                           void* s, void* stream) {
  const dim3 grid(divide_up(shape.height * shape.width, tile.loads * 8) * shape.batch, divide_up(shape.entries, 16 * tile.entry_tiles));
  with_math(precision, [&]<typename Math>(Math) {
    using T = typename Math::Element;
    with_constant<4, 7>(tile.loads, [&](auto loads) {
      with_constant<1, 2, 4>(tile.entry_tiles, [&](auto entry_tiles) {
        if constexpr (entry_tiles() <= most_tiles(Math::kTerms, loads()) || entry_tiles() == 1) {
          with_constant<4, 8>(tile.split, [&](auto split) {
            const auto kernel = dictionary_planes_kernel<Math, entry_tiles(), loads(), split()>;
            check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, tile.shared_bytes), "raising the shared-memory limit");
            kernel<<<grid, split() * 32, tile.shared_bytes, as_stream(stream)>>>(shape, tile.chunk_channels, tile.pitch, static_cast<const T*>(x),
                                                                                 static_cast<const uint4*>(dictionary), static_cast<T*>(s));
          });
        }
      });
    });
  });
  check_launch("dictionary_planes_kernel");
}

}  // namespace lcnn::cuda
