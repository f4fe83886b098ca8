// The gather kernel that reads the lookups from a table: text for NVRTC, behind padded_tile.cuh.
//
// Problem: a strip of output rows of one image, or some whole images, x CHANNEL_GROUPS * CHANNELS output channels.
// Tile:    S of the strip and its halo as padded_tile.cuh copies it, behind it the block's lookups.
// Load:    both by cp.async; with fewer ENTRIES than the dictionary has, one part of them after the other.
// Compute: lanes run over columns; a thread holds PIXELS rows of its column for CHANNELS output channels, one after the
//          other. A lookup's place and coefficient are read once for the warp, its rows of S at constant distances.
// Store:   lanes run over columns, so stores are contiguous along rows of y.
using Element = MATH::Element;

constexpr int kOutPlane = OUT_HEIGHT * OUT_WIDTH;
constexpr int kRowStep = STRIDE_H * ENTRIES * PITCH;  // elements between the rows of S under two output rows

// `pairs` hold two lookups each: where in the tile and by how much, twice. They are those of all output channels for the first
// ENTRIES entries, then for the next; those of channel k in part c begin at first_pair[c * (PADDED_CHANNELS + 1) + k]. `bias` has PADDED_CHANNELS values.
extern "C" __global__ void __launch_bounds__(THREADS)
    table_gather(const S* __restrict__ s, const uint4* __restrict__ pairs, const int* __restrict__ first_pair,
                 const float* __restrict__ bias, Element* __restrict__ y) {
  extern __shared__ uint4 shared[];
  S* tile = reinterpret_cast<S*>(shared);
  uint4* list = shared + TILE_WORDS;
  let_next_kernel_begin();
  const int slot = threadIdx.x % (SLOT_WARPS * 32);
  const int column = slot % OUT_WIDTH, row = slot / OUT_WIDTH % ROW_GROUPS * PIXELS, image = slot / (OUT_WIDTH * ROW_GROUPS);
  const int first_row = blockIdx.x * ROWS, first_image = blockIdx.z * IMAGES;
  const int block_channel = blockIdx.y * CHANNEL_GROUPS * CHANNELS;
  const int first_channel = block_channel + threadIdx.x / (SLOT_WARPS * 32) * CHANNELS;
  const char* pixel = reinterpret_cast<const char*>(tile);
  if (slot < SLOTS) pixel += ((image * IMAGE_ROWS + row * STRIDE_H) * ENTRIES * PITCH + column * STRIDE_W) * sizeof(S);

  float sums[CHANNELS][PIXELS];
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k) {
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) sums[k][p] = bias[first_channel + k];
  }
  for (int part = 0; part < PARTS; ++part) {
    const int* starts = first_pair + part * (PADDED_CHANNELS + 1);
    const int begin = starts[block_channel], end = starts[block_channel + CHANNEL_GROUPS * CHANNELS];
    int channel_starts[CHANNELS + 1];
#pragma unroll
    for (int k = 0; k <= CHANNELS; ++k) channel_starts[k] = starts[first_channel + k] - begin;
    __syncthreads();  // the part before this one has been read
    for (int i = threadIdx.x; i < end - begin; i += THREADS) copy_word(list + i, pairs + begin + i);
    if (part == 0) wait_for_previous_kernel();
    copy_tile(s, part * ENTRIES, first_image, first_row * STRIDE_H, tile);
    finish_copies();
    __syncthreads();
#pragma unroll
    for (int k = 0; k < CHANNELS; ++k) {
#pragma unroll 2
      for (int i = channel_starts[k]; i < channel_starts[k + 1]; ++i) add_pair<MATH, kRowStep>(pixel, list[i], sums[k]);
    }
  }

  if (slot >= SLOTS || first_image + image >= BATCH) return;
  Element* out = y + (static_cast<i64>(first_image + image) * OUT_CHANNELS + first_channel) * kOutPlane + (first_row + row) * OUT_WIDTH + column;
#pragma unroll
  for (int k = 0; k < CHANNELS; ++k) {
    if (first_channel + k >= OUT_CHANNELS) break;
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
      if (row + p < ROWS && first_row + row + p < OUT_HEIGHT) out[k * kOutPlane + p * OUT_WIDTH] = MATH::store(sums[k][p]);
    }
  }
}
