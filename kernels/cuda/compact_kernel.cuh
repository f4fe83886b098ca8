// The gather kernel on the matrix units: text for NVRTC, behind dictionary_tile.cuh, lookup_pairs.cuh and the constants in
// capitals.
//
// Problem: ROWS output rows of one image, or some whole images, x GROUPS * 16 output channels.
// Tile:    S of these rows and their halo, [row][entry][column], behind it a warp's outputs each, then the block's lookups.
// Load:    S in one piece and the lookups, both by cp.async; the lookups before the kernel in front has ended.
// Compute: a warp takes WARP_ROWS whole rows of 16 channels. A step multiplies the coefficients of 16 rows of S by these rows
//          of S, which ldmatrix takes from wherever they lie. Columns of S must lie in whole words for that, so every kernel
//          column has sums of its own, without its shift; shuffles shift them when they are added up.
// Store:   through shared memory, so that stores are contiguous along rows of y.
using namespace lcnn_device;

using Math = MATH;

constexpr int kTiles = (COLUMNS + 7) / 8;  // of 8 columns, of a row
constexpr int kRowWords = DICTIONARY * ENTRY_WORDS, kRowStep = STRIDE_H * kRowWords * 16;  // bytes between the rows of S under two output rows
constexpr int kOutPlane = OUT_HEIGHT * OUT_WIDTH;
constexpr int kChannels = 16, kStepWords = 36;
constexpr int kAllGroups = (OUT_CHANNELS + kChannels - 1) / kChannels;
constexpr int kRun = WARP_ROWS * OUT_WIDTH;  // neighbours in y: a warp's outputs of a channel
constexpr int kRunPitch = WHOLE_PLANES ? kRun : (kRun + STORE - 1) / STORE * STORE;

using RowSums = float[kTiles][4];

// Four 8 x 8 matrices of 16 bits, transposed; lane l holds the address of row l % 8 of matrix l / 8. And the first two of them.
__device__ __forceinline__ void load_matrices(unsigned (&b)[4], unsigned address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(address) : "memory");
}
__device__ __forceinline__ void load_matrices(unsigned (&b)[2], unsigned address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(b[0]), "=r"(b[1]) : "r"(address) : "memory");
}

// What lies between the two tiles that one load takes: neighbours in a row, or in a column where a row is one tile.
constexpr int kPairStep = kTiles == 1 ? kRowStep : 16;

// sums += coefficients x 16 rows of S; `address` is the lane's row of S in the first tile, or in the second for lanes behind 16.
__device__ __forceinline__ void multiply_step(const uint4& coefficients, unsigned address, RowSums (&sums)[WARP_ROWS]) {
  const auto pair = [&](int offset, float (&first)[4], float (&second)[4]) {
    unsigned b[4];
    load_matrices(b, address + offset);
    Math::mma(first, coefficients, b[0], b[1]);
    Math::mma(second, coefficients, b[2], b[3]);
  };
  const auto single = [&](int offset, float (&only)[4]) {
    unsigned b[2];
    load_matrices(b, address + offset);
    Math::mma(only, coefficients, b[0], b[1]);
  };
  if constexpr (kTiles == 1) {
#pragma unroll
    for (int row = 0; row + 1 < WARP_ROWS; row += 2) pair(row * kRowStep, sums[row][0], sums[row + 1][0]);
    if constexpr (WARP_ROWS % 2 == 1) single((WARP_ROWS - 1) * kRowStep, sums[WARP_ROWS - 1][0]);
  } else {
#pragma unroll
    for (int row = 0; row < WARP_ROWS; ++row) {
#pragma unroll
      for (int t = 0; t + 1 < kTiles; t += 2) pair(row * kRowStep + t * 16, sums[row][t], sums[row][t + 1]);
      if constexpr (kTiles % 2 == 1) single(row * kRowStep + (kTiles - 1) * 16, sums[row][kTiles - 1]);
    }
  }
}

constexpr int floor_divide(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// sums[t][i] of a column kShift further right, 0 beyond the row. Lane l holds columns t * 8 + l % 4 * 2 + i % 2.
template <int kShift>
__device__ __forceinline__ float shifted(const RowSums& sums, int t, int i) {
  const int column = i % 2 + kShift, lanes = floor_divide(column, 2), from = i / 2 * 2 + column - lanes * 2;
  const int near = t + floor_divide(lanes, 4), step = lanes - floor_divide(lanes, 4) * 4;
  const auto value = [&](int tile) { return tile >= 0 && tile < kTiles ? sums[tile][from] : 0.0f; };
  if (step == 0) return value(near);
  const int lane = threadIdx.x % 32;
  const float sent = lane % 4 < step ? value(near + 1) : value(near);
  return __shfl_sync(0xffffffffu, sent, (lane & ~3) | ((lane + step) & 3));
}

template <int kColumn>
__device__ __forceinline__ float add_columns(const RowSums (&sums)[KERNEL_W][WARP_ROWS], int row, int t, int i) {
  if constexpr (kColumn == KERNEL_W) {
    return 0.0f;
  } else {
    return shifted<kColumn * DILATION_W - PADDING_W>(sums[kColumn][row], t, i) + add_columns<kColumn + 1>(sums, row, t, i);
  }
}

// A warp's outputs from shared memory to y: `rows` rows of `channels` channels.
__device__ __forceinline__ void store_outputs(const u16* staging, u16* y, int channels, int rows) {
  using Stored = typename Word<2 * STORE>::Type;
  const int lane = threadIdx.x % 32;
  if constexpr (WHOLE_PLANES) {
    const int count = channels * kOutPlane / STORE;
    for (int i = lane; i < count; i += 32) reinterpret_cast<Stored*>(y)[i] = reinterpret_cast<const Stored*>(staging)[i];
  } else {
    constexpr int kWords = kRunPitch / STORE;
    for (int i = lane; i < channels * kWords; i += 32) {
      const int channel = i / kWords, word = i % kWords;
      if (word * STORE < rows * OUT_WIDTH) {
        *reinterpret_cast<Stored*>(y + static_cast<i64>(channel) * kOutPlane + word * STORE) =
            *reinterpret_cast<const Stored*>(staging + channel * kRunPitch + word * STORE);
      }
    }
  }
}

// `steps` and `first_step` are CompactLookups'; `bias` has a value for every channel of every group.
extern "C" __global__ void __launch_bounds__(WARPS * 32)
    compact_gather(const uint4* __restrict__ s, const uint4* __restrict__ steps, const int* __restrict__ first_step,
                   const float* __restrict__ bias, u16* __restrict__ y) {
  extern __shared__ uint4 shared[];
  __shared__ int starts[GROUPS * KERNEL_W + 1];
  constexpr int kThreads = WARPS * 32;
  uint4* list = shared + TILE_WORDS + WARPS * STAGING_WORDS;
  let_next_kernel_begin();
  const int first_group = blockIdx.y * GROUPS, first_row = blockIdx.x * ROWS, first_image = blockIdx.z * IMAGES;
  const int groups = min(GROUPS, kAllGroups - first_group);
  const int* group_steps = first_step + first_group * KERNEL_W;
  const int begin = group_steps[0], end = group_steps[groups * KERNEL_W];
  for (int i = threadIdx.x; i <= groups * KERNEL_W; i += kThreads) starts[i] = group_steps[i] - begin;
  for (int i = threadIdx.x; i < (end - begin) * kStepWords; i += kThreads) copy_word(list + i, steps + static_cast<i64>(begin) * kStepWords + i);
  wait_for_previous_kernel();
  const int first_s_row = first_image * IMAGE_ROWS + first_row * STRIDE_H;
  const int words = min(((IMAGES - 1) * IMAGE_ROWS + S_ROWS), PADDED_ROWS - first_s_row) * kRowWords;
  for (int i = threadIdx.x; i < words; i += kThreads) copy_word(shared + i, s + static_cast<i64>(first_s_row) * kRowWords + i);
  finish_copies();
  __syncthreads();

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u16* staging = reinterpret_cast<u16*>(shared + TILE_WORDS + warp * STAGING_WORDS);
  const unsigned tile = static_cast<unsigned>(__cvta_generic_to_shared(shared)) + lane / 16 * kPairStep;
  for (int item = warp; item < groups * ROW_TILES * IMAGES; item += WARPS) {
    const int group = item % groups, image = item / groups / ROW_TILES, row = item / groups % ROW_TILES * WARP_ROWS;
    const unsigned pixel = tile + image * IMAGE_ROWS * kRowWords * 16 + row * kRowStep;
    RowSums sums[KERNEL_W][WARP_ROWS] = {};
#pragma unroll
    for (int column = 0; column < KERNEL_W; ++column) {
      const int last = starts[group * KERNEL_W + column + 1];
#pragma unroll 2
      for (int step = starts[group * KERNEL_W + column]; step < last; ++step) {
        const uint4* words_of_step = list + step * kStepWords;
        multiply_step(words_of_step[lane], pixel + reinterpret_cast<const int*>(words_of_step + 32)[lane % 16], sums[column]);
      }
    }
    const int first_channel = (first_group + group) * kChannels, channels = min(kChannels, OUT_CHANNELS - first_channel);
    const float biases[2] = {bias[first_channel + lane / 4], bias[first_channel + lane / 4 + 8]};
    __syncwarp();
#pragma unroll
    for (int r = 0; r < WARP_ROWS; ++r) {
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          u16* at = staging + (lane / 4 + half * 8) * kRunPitch + r * OUT_WIDTH;
          const int out_column = t * 8 + lane % 4 * 2;
          const u16 left = Math::store(biases[half] + add_columns<0>(sums, r, t, half * 2));
          const u16 right = Math::store(biases[half] + add_columns<0>(sums, r, t, half * 2 + 1));
          if constexpr (OUT_WIDTH % 2 == 0 && kRunPitch % 2 == 0) {
            if (out_column < OUT_WIDTH) *reinterpret_cast<unsigned*>(at + out_column) = left | static_cast<unsigned>(right) << 16;
          } else {
            if (out_column < OUT_WIDTH) at[out_column] = left;
            if (out_column + 1 < OUT_WIDTH) at[out_column + 1] = right;
          }
        }
      }
    }
    __syncwarp();
    const int out_row = first_row + row, rows = min(min(WARP_ROWS, ROWS - row), OUT_HEIGHT - out_row);
    if (first_image + image < BATCH && rows > 0) {
      store_outputs(staging, y + ((static_cast<i64>(first_image + image) * OUT_CHANNELS + first_channel) * OUT_HEIGHT + out_row) * OUT_WIDTH, channels, rows);
    }
  }
}
