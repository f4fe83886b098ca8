// The kernel for filter dictionaries, but for the lookups: text for NVRTC, behind dictionary_tile.cuh and the constants in
// capitals; the generated code follows it.
//
// Problem: S = conv(X, D) with a D of KERNEL_H x KERNEL_W, then every output channel a sum over its pixel's S.
// Tile:    ROWS x COLUMNS output pixels of one image, all output channels.
// Load:    the kernel's columns are rows of the matrix product: Z[(entry, s)] = sum over channels and kernel rows r of
//          D[entry, :, r, s] X[:, row + r, :] needs no shifted X. Z lies in shared memory, padding is zeros in it.
// Compute: S[entry] = sum over s of Z[(entry, s)] shifted by s, in registers; an output channel is a few FFMA on it.
// Store:   lanes run over pixels; CHANNEL_BLOCKS groups of warps share the output channels.
using namespace lcnn_device;

using Math = MATH;
using Element = Math::Element;

constexpr int kPlane = HEIGHT * WIDTH, kOutPlane = OUT_HEIGHT * OUT_WIDTH;
constexpr int kEntries = DICTIONARY * KERNEL_W, kEntryTiles = (kEntries + 15) / 16;
constexpr int kDictionaryRow =  // of D as packed, for one kernel row
    (IN_CHANNELS + Math::kStepChannels - 1) / Math::kStepChannels * kEntryTiles * Math::kTerms * 32;
constexpr int kEntryPlane = ROWS * X_COLUMNS;  // of Z in shared memory
constexpr int kRowGroups = X_COLUMNS / VECTOR, kTileGroups = ROWS * kRowGroups;

// Z of columns [first_column, first_column + X_COLUMNS) of X for the tile's output rows. `x` is the image's.
__device__ void fill_tile(const Element* x, const uint4* dictionary, int first_row, int first_column, float* tile) {
  const int lane = threadIdx.x % 32;
  for (int work = threadIdx.x / 32; work < WARP_TILES; work += THREADS / 32) {
    const int first_group = work / ENTRY_PASSES * kGroups, first_tile = work % ENTRY_PASSES * WARP_ENTRY_TILES;
    const int group = first_group + lane / 4;
    const int row = (first_row + group / kRowGroups) * STRIDE_H - PADDING_H, column = first_column + group % kRowGroups * VECTOR;
    float sums[WARP_ENTRY_TILES][VECTOR][4] = {};
#pragma unroll 1
    for (int r = 0; r < KERNEL_H; ++r) {
      const int h = row + r * DILATION_H;
      const bool inside[1] = {group < kTileGroups && h >= 0 && h < HEIGHT && column >= 0 && column < WIDTH};
      const Element* const lane_x[1] = {x + h * WIDTH + column};
      multiply<Math, WARP_ENTRY_TILES, 1, VECTOR>(lane_x, inside, IN_CHANNELS, kPlane, dictionary + r * kDictionaryRow,
                                                  kEntryTiles, first_tile, 0, 1, sums);
    }
#pragma unroll
    for (int m = 0; m < WARP_ENTRY_TILES; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int entry = (first_tile + m) * 16 + accumulator_entry(i), out_group = first_group + accumulator_group(i);
        if (entry >= kEntries || out_group >= kTileGroups) continue;
        float values[VECTOR];
#pragma unroll
        for (int v = 0; v < VECTOR; ++v) values[v] = sums[m][v][i];
        store_floats(tile + entry * kEntryPlane + out_group * VECTOR, values);
      }
    }
  }
}

using Pixels = float[PIXELS];

__device__ __forceinline__ void put(Element* out, const Pixels& values) {
  Vector<Element, PIXELS> stored;
#pragma unroll
  for (int p = 0; p < PIXELS; ++p) stored.values[p] = Math::store(values[p]);
  *reinterpret_cast<decltype(stored.word)*>(out) = stored.word;
}

// Generated: y of the output channels of a block of them from S; `out` is the first pixel of channel 0.
__device__ __forceinline__ void write_channels(int block, const float (&s)[DICTIONARY][PIXELS], Element* out);

extern "C" __global__ void __launch_bounds__(THREADS)
    baked_filter(const Element* __restrict__ x, const uint4* __restrict__ dictionary, Element* __restrict__ y) {
  extern __shared__ float4 shared[];
  float* tile = reinterpret_cast<float*>(shared);
  let_next_kernel_begin();
  const int first_out_column = blockIdx.x * COLUMNS, first_row = blockIdx.y * ROWS, image = blockIdx.z;
  const int needed_column = first_out_column * STRIDE_W - PADDING_W;
  const int first_column = needed_column - ((needed_column % VECTOR) + VECTOR) % VECTOR;
  wait_for_previous_kernel();
  fill_tile(x + static_cast<i64>(image) * IN_CHANNELS * kPlane, dictionary, first_row, first_column, tile);
  __syncthreads();

  constexpr int kRowSlots = COLUMNS / PIXELS;
  const int slot = threadIdx.x % SLOT_THREADS, row = slot / kRowSlots, column = slot % kRowSlots * PIXELS;
  if (row >= ROWS || first_row + row >= OUT_HEIGHT || first_out_column + column >= OUT_WIDTH) return;
  const float* pixel = tile + row * X_COLUMNS + needed_column - first_column + column * STRIDE_W;
  float s[DICTIONARY][PIXELS];
#pragma unroll
  for (int entry = 0; entry < DICTIONARY; ++entry) {
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
      s[entry][p] = pixel[entry * KERNEL_W * kEntryPlane + p * STRIDE_W];
#pragma unroll
      for (int k = 1; k < KERNEL_W; ++k) {
        s[entry][p] += pixel[(entry * KERNEL_W + k) * kEntryPlane + k * DILATION_W + p * STRIDE_W];
      }
    }
  }
  write_channels(threadIdx.x / SLOT_THREADS, s,
                 y + static_cast<i64>(image) * OUT_CHANNELS * kOutPlane + (first_row + row) * OUT_WIDTH + first_out_column + column);
}
