// The gather kernel, but for the lookups: text for NVRTC, behind dictionary_tile.cuh, the constants in capitals and, as
// set_bias and gather_<chunk>, the generated code.
//
// Problem: a strip of output rows of one image, or some whole images, x CHANNEL_BLOCKS * CHANNELS output channels.
// Tile:    S of the strip and its halo in shared memory as fp32, [entry][image][row][PITCH]; padding is zeros in it.
// Load:    FUSED computes S from X on the matrix units; otherwise S comes from the dictionary kernel.
// Compute: a thread holds the sums of PIXELS pixels x CHANNELS channels; its channels' lookups are immediates.
// Store:   lanes run over pixels, so stores are contiguous along rows of y.
using namespace lcnn_device;

using Math = MATH;
using Element = Math::Element;
using Sums = float[CHANNELS][PIXELS];

constexpr int kPlane = S_HEIGHT * S_WIDTH, kOutPlane = OUT_HEIGHT * OUT_WIDTH;

// VECTOR neighbouring positions of a row of the tile.
__device__ void set_tile(float* tile, int entry, int image, int row, int column, const float (&values)[VECTOR]) {
  float* out = tile + (entry * IMAGES + image) * PLANE + row * PITCH + LEAD + column;
  constexpr int kStore = VECTOR < 4 ? VECTOR : 4;
#pragma unroll
  for (int v = 0; v < VECTOR; v += kStore) {
    Vector<float, kStore> stored;
#pragma unroll
    for (int i = 0; i < kStore; ++i) stored.values[i] = values[v + i];
    *reinterpret_cast<decltype(stored.word)*>(out + v) = stored.word;
  }
}

#if FUSED
// Entries first_entry .. + ENTRIES of S rows [top, top + S_ROWS) inside the image, from X.
__device__ void fill_tile(const Element* x, const uint4* dictionary, int first_entry, int first_image, int top, float* tile) {
  constexpr int kEntryTiles = (DICTIONARY + 15) / 16, kChunkTiles = (ENTRIES + 15) / 16;
  const int first_row = max(top, 0), last_row = min(top + S_ROWS, S_HEIGHT);
  const int groups = (last_row - first_row) * S_WIDTH / VECTOR, warp_tiles = (groups + kGroups - 1) / kGroups;
  const int lane = threadIdx.x % 32;
  for (int work = threadIdx.x / 32; work < warp_tiles * IMAGES; work += THREADS / 32) {
    const int image = work / warp_tiles, group = work % warp_tiles * kGroups;
    const bool inside = group + lane / 4 < groups && first_image + image < BATCH;
    const Element* lane_x = x + static_cast<i64>(first_image + image) * IN_CHANNELS * kPlane + first_row * S_WIDTH +
                            (group + lane / 4) * VECTOR;
    for (int first_tile = 0; first_tile < kChunkTiles; first_tile += WARP_ENTRY_TILES) {
      float sums[WARP_ENTRY_TILES][VECTOR][4] = {};
      multiply<Math, WARP_ENTRY_TILES, VECTOR>(lane_x, inside, IN_CHANNELS, kPlane, dictionary, kEntryTiles,
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
// Entries first_entry .. + ENTRIES of S rows [top, top + S_ROWS) inside the image, from S.
__device__ void fill_tile(const Element* s, int first_entry, int first_image, int top, float* tile) {
  constexpr int kWords = S_WIDTH / VECTOR, kRows = ENTRIES * IMAGES * S_ROWS;
#pragma unroll 4
  for (int i = threadIdx.x; i < kRows * kWords; i += THREADS) {
    const int column = i % kWords * VECTOR, row = i / kWords % S_ROWS, plane = i / (kWords * S_ROWS);
    const int image = plane % IMAGES, entry = plane / IMAGES, h = top + row;
    if (h < 0 || h >= S_HEIGHT || first_entry + entry >= DICTIONARY || first_image + image >= BATCH) continue;
    Vector<Element, VECTOR> loaded;
    loaded.word = *reinterpret_cast<const decltype(loaded.word)*>(
        s + static_cast<i64>((first_image + image) * DICTIONARY + first_entry + entry) * kPlane + h * S_WIDTH + column);
    float values[VECTOR];
#pragma unroll
    for (int v = 0; v < VECTOR; ++v) values[v] = Math::load(loaded.values[v]);
    set_tile(tile, entry, image, row, column, values);
  }
}
#define INPUT_PARAMETERS const Element* __restrict__ s
#define FILL_TILE(first_entry) fill_tile(s, first_entry, first_image, top, tile)
#endif

extern "C" __global__ void __launch_bounds__(THREADS) baked_gather(INPUT_PARAMETERS, Element* __restrict__ y) {
  extern __shared__ float4 shared[];
  float* tile = reinterpret_cast<float*>(shared);
  let_next_kernel_begin();
  const int slot = threadIdx.x % (SLOT_WARPS * 32);
  const int channel_block = blockIdx.y * CHANNEL_BLOCKS + threadIdx.x / (SLOT_WARPS * 32);
  const int first_row = blockIdx.x * ROWS, first_image = blockIdx.z * IMAGES, top = first_row * STRIDE_H - PADDING_H;

  constexpr int kRowSlots = OUT_WIDTH / PIXELS;
  const int column = slot % kRowSlots * PIXELS, row = slot / kRowSlots % ROWS, image = slot / (kRowSlots * ROWS);
  const bool inside = slot < SLOTS && first_row + row < OUT_HEIGHT && first_image + image < BATCH;
  const float* pixel = tile + (slot < SLOTS ? image * PLANE + row * STRIDE_H * PITCH + column * STRIDE_W : 0);

  for (int i = threadIdx.x; i < TILE_FLOATS / 4; i += THREADS) shared[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  wait_for_previous_kernel();
  Sums sums;
  set_bias(channel_block, sums);
  GATHER_ALL_CHUNKS

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
