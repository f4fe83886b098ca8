// The gather kernel, but for the lookups: text for NVRTC, behind dictionary_tile.cuh, the constants in capitals and,
// unless it is fused, padded_tile.cuh; the generated code follows it.
//
// Problem: a strip of output rows of one image, or some whole images, x CHANNEL_BLOCKS * CHANNELS output channels.
// Tile:    S of the strip and its halo in shared memory, [row][entry][PITCH], images behind each other; padding is zeros.
// Load:    FUSED computes S from X on the matrix units; otherwise S comes from the dictionary kernel, as PaddedLayout says:
//          a tile is one piece of it, or with fewer ENTRIES than the dictionary has, one piece a row.
// Compute: a thread holds the sums of PIXELS pixels x CHANNELS channels; its channels' lookups are immediates.
// Store:   lanes run over pixels, so stores are contiguous along rows of y.
using namespace lcnn_device;

using Math = MATH;
using Element = Math::Element;
using Sums = float[CHANNELS][PIXELS];

constexpr int kPlane = S_HEIGHT * S_WIDTH, kOutPlane = OUT_HEIGHT * OUT_WIDTH;

#if FUSED
using S = float;  // in shared memory
__device__ __forceinline__ float s_value(S stored) { return stored; }
#endif

// Two neighbouring values of S.
__device__ __forceinline__ float2 s_pair(const S* s) {
  Vector<S, 2> pair;
  pair.word = *reinterpret_cast<const decltype(pair.word)*>(s);
  return make_float2(s_value(pair.values[0]), s_value(pair.values[1]));
}

#if FUSED
// Zeros everywhere: what fill_tile leaves out is padding.
__device__ void prepare_tile(float* tile) {
  for (int i = threadIdx.x; i < SHARED_WORDS; i += THREADS) reinterpret_cast<float4*>(tile)[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
}

// VECTOR neighbouring positions of a row of the tile.
__device__ void set_tile(float* tile, int entry, int image, int row, int column, const float (&values)[VECTOR]) {
  store_floats(tile + ((image * IMAGE_ROWS + row) * ENTRIES + entry) * PITCH + LEAD + column, values);
}

// Entries first_entry .. + ENTRIES of S rows [top, top + S_ROWS) inside the image, from X.
__device__ void fill_tile(const Element* x, const uint4* dictionary, int first_entry, int first_image, int top, float* tile) {
  constexpr int kEntryTiles = (DICTIONARY + 15) / 16, kChunkTiles = (ENTRIES + 15) / 16;
  const int first_row = max(top, 0), last_row = min(top + S_ROWS, S_HEIGHT);
  const int groups = (last_row - first_row) * S_WIDTH / VECTOR, warp_tiles = (groups + kGroups - 1) / kGroups;
  const int lane = threadIdx.x % 32;
  for (int work = threadIdx.x / 32; work < warp_tiles * IMAGES; work += THREADS / 32) {
    const int image = work / warp_tiles, group = work % warp_tiles * kGroups;
    const bool inside[1] = {group + lane / 4 < groups && first_image + image < BATCH};
    const Element* const lane_x[1] = {x + static_cast<i64>(first_image + image) * IN_CHANNELS * kPlane + first_row * S_WIDTH +
                                      (group + lane / 4) * VECTOR};
    for (int first_tile = 0; first_tile < kChunkTiles; first_tile += WARP_ENTRY_TILES) {
      float sums[WARP_ENTRY_TILES][VECTOR][4] = {};
      multiply<Math, WARP_ENTRY_TILES, 1, VECTOR>(lane_x, inside, IN_CHANNELS, kPlane, dictionary, kEntryTiles,
                                                  first_entry / 16 + first_tile, 0, 1, sums);
#pragma unroll
      for (int m = 0; m < WARP_ENTRY_TILES; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int entry = (first_tile + m) * 16 + accumulator_entry(i), out_group = group + accumulator_group(i);
          if (entry >= ENTRIES || out_group >= groups) continue;
          float values[VECTOR];
#pragma unroll
          for (int v = 0; v < VECTOR; ++v) values[v] = sums[m][v][i];
          const int position = out_group * VECTOR;
          set_tile(tile, entry, image, position / S_WIDTH + first_row - top, position % S_WIDTH, values);
        }
      }
    }
  }
}
#define INPUT_PARAMETERS const Element* __restrict__ x, const uint4* __restrict__ dictionary
#define FILL_TILE(first_entry) fill_tile(x, dictionary, first_entry, first_image, top, tile)
#else
__device__ void prepare_tile(S*) {}

// Entries first_entry .. + ENTRIES of the tile's rows of S, from memory.
__device__ void fill_tile(const S* s, int first_entry, int first_image, int top, S* tile) {
  copy_tile(s, first_entry, first_image, top, tile);
  finish_copies();
}
#define INPUT_PARAMETERS const S* __restrict__ s
#define FILL_TILE(first_entry) fill_tile(s, first_entry, first_image, top + PADDING_H, tile)
#endif

// Generated: the biases of a block of output channels, and its lookups in one chunk of ENTRIES entries.
__device__ __forceinline__ void set_bias(int channel_block, Sums& sums);
__device__ __forceinline__ void gather(int chunk, int channel_block, const S* pixel, Sums& sums);

extern "C" __global__ void __launch_bounds__(THREADS) baked_gather(INPUT_PARAMETERS, Element* __restrict__ y) {
  extern __shared__ float4 shared[];
  S* tile = reinterpret_cast<S*>(shared);
  let_next_kernel_begin();
  const int slot = threadIdx.x % (SLOT_WARPS * 32);
  const int channel_block = blockIdx.y * CHANNEL_BLOCKS + threadIdx.x / (SLOT_WARPS * 32);
  const int first_row = blockIdx.x * ROWS, first_image = blockIdx.z * IMAGES, top = first_row * STRIDE_H - PADDING_H;

  constexpr int kRowSlots = OUT_WIDTH / PIXELS;
  const int column = slot % kRowSlots * PIXELS, row = slot / kRowSlots % ROWS, image = slot / (kRowSlots * ROWS);
  const bool inside = slot < SLOTS && first_row + row < OUT_HEIGHT && first_image + image < BATCH;
  const S* pixel = tile + (slot < SLOTS ? (image * IMAGE_ROWS + row * STRIDE_H) * ENTRIES * PITCH + column * STRIDE_W : 0);

  prepare_tile(tile);
  wait_for_previous_kernel();
  Sums sums;
  set_bias(channel_block, sums);
  for (int chunk = 0; chunk < CHUNKS; ++chunk) {
    __syncthreads();
    FILL_TILE(chunk * ENTRIES);
    __syncthreads();
    gather(chunk, channel_block, pixel, sums);
  }

  if (!inside) return;
  Element* out = y + (static_cast<i64>(first_image + image) * OUT_CHANNELS + channel_block * CHANNELS) * kOutPlane +
                 (first_row + row) * OUT_WIDTH + column;
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k) {
    if (channel_block * CHANNELS + k >= OUT_CHANNELS) break;
    Vector<Element, PIXELS> stored;
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) stored.values[p] = Math::store(sums[k][p]);
    *reinterpret_cast<decltype(stored.word)*>(out + k * kOutPlane) = stored.word;
  }
}
