// The fused kernel that multiplies compacted lookups on the matrix units: text for NVRTC, behind dictionary_tile.cuh,
// lookup_pairs.cuh and the constants in capitals.
//
// Problem: ROWS output rows of one image x GROUPS * 16 output channels.
// Tile:    X of these rows and their halo, S of them as CompactPlaces says, D where it fits, the block's lookups.
// Load:    all by cp.async, D before the kernel in front has ended.
// Compute: S by warps that take UNIT_TILES * 16 entries and LOADS * 8 groups of VECTOR positions each, K_SPLIT warps sharing the
//          channels of one such unit; a copy of S for each kernel column. Then a warp takes WARP_ROWS whole rows of 16 channels:
//          a step multiplies the coefficients of 16 rows of S by these rows, which ldmatrix takes from wherever they lie.
// Store:   through shared memory, so that stores are contiguous along rows of y.
using namespace lcnn_device;

using Math = MATH;

constexpr int kThreads = WARPS * 32;
constexpr int kTiles = (OUT_WIDTH + 7) / 8;  // of 8 columns, of a row
constexpr bool kSwizzled = kTiles == ENTRY_WORDS && (kTiles & (kTiles - 1)) == 0 && kTiles > 1;
constexpr int kRowWords = DICTIONARY * ENTRY_WORDS, kColumnWords = S_ROWS * kRowWords;
constexpr int kRowStep = STRIDE_H * kRowWords * 16;  // bytes between the rows of S under two output rows
constexpr int kPlane = HEIGHT * WIDTH, kOutPlane = OUT_HEIGHT * OUT_WIDTH;
constexpr int kChannels = 16, kStepWords = 36;
constexpr int kAllGroups = (OUT_CHANNELS + kChannels - 1) / kChannels;
constexpr int kRun = WARP_ROWS * OUT_WIDTH;  // neighbours in y: a warp's outputs of a channel
constexpr int kRunPitch = WHOLE_PLANES ? kRun : (kRun + STORE - 1) / STORE * STORE;
constexpr int kPositions = LOADS * VECTOR, kUnitGroups = kGroups * LOADS;
constexpr int kEntryTiles = (DICTIONARY + 15) / 16;
constexpr int kEntryUnits = (kEntryTiles + UNIT_TILES - 1) / UNIT_TILES, kPositionUnits = (S_ROWS * WIDTH + kUnitGroups * VECTOR - 1) / (kUnitGroups * VECTOR);
constexpr int kUnits = kEntryUnits * kPositionUnits;
constexpr int kDictionaryWords = (IN_CHANNELS + Math::kStepChannels - 1) / Math::kStepChannels * kEntryTiles * 32;

using RowSums = float[WARP_ROWS][kTiles][4];

template <bool kShared> struct DictionaryMemory : SharedMemory {};
template <> struct DictionaryMemory<false> : GlobalMemory {};

// The word of 8 elements of X that begins at element `at`, from memory to shared memory; nothing behind the end of X is read.
__device__ __forceinline__ void copy_input_word(u16* to, const u16* x, i64 at) {
  constexpr i64 kElements = static_cast<i64>(BATCH) * IN_CHANNELS * kPlane;
  const int bytes = static_cast<int>(min(kElements - at, static_cast<i64>(8))) * 2;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(x + at), "r"(bytes) : "memory");
}

// Rows first .. first + rows of an image of `x`, as [channel][X_PITCH], in whole words and what shares them. An element lies
// in a word where it lies in memory, for X_PITCH and a plane are the same modulo 8. Returns where channel 0 begins.
__device__ __forceinline__ const u16* copy_input(const u16* x, int image, int first, int rows, u16* to) {
  const i64 begin = static_cast<i64>(image) * IN_CHANNELS * kPlane + first * WIDTH;
  const int phase = static_cast<int>(begin % 8);
  if constexpr (WHOLE_IMAGE) {
    for (int i = threadIdx.x * 8; i < phase + IN_CHANNELS * kPlane; i += kThreads * 8) copy_input_word(to + i, x, begin - phase + i);
  } else {
    constexpr int kWords = (S_ROWS * WIDTH + 14) / 8;
    for (int i = threadIdx.x; i < IN_CHANNELS * kWords; i += kThreads) {
      const int channel = i / kWords, word = i % kWords * 8;
      const int start = phase + channel * X_PITCH, behind = start % 8 + rows * WIDTH;
      if (word < behind) copy_input_word(to + start / 8 * 8 + word, x, (begin + static_cast<i64>(channel) * kPlane) / 8 * 8 + word);
    }
  }
  return to + phase;
}

// Stores S of VECTOR columns from `column` on into the copy of kernel column kColumn and of those behind it; `entry_s` is the
// entry's row of S in the copy of kernel column 0.
template <int kColumn>
__device__ __forceinline__ void store_columns(u16* entry_s, int swizzle, int column, const u16 (&values)[VECTOR]) {
  if constexpr (kColumn < KERNEL_W) {
    constexpr int kShift = PADDING_W - kColumn * DILATION_W;
    u16* copy = entry_s + kColumn * kColumnWords * 8;
    const auto at = [&](int q) { return copy + ((q / 8 ^ swizzle) * 8 + q % 8); };
    if constexpr (STRIDE_W == 1 && VECTOR > 1) {
      constexpr int kFirst = (kShift % 2 + 2) % 2;  // values in front of the first whole pair
      const int q0 = column + kShift;
      if (kFirst == 1 && q0 >= 0 && q0 < kTiles * 8) *at(q0) = values[0];
#pragma unroll
      for (int v = kFirst; v + 1 < VECTOR; v += 2) {
        const int q = q0 + v;
        if (q >= 0 && q < kTiles * 8) *reinterpret_cast<unsigned*>(at(q)) = values[v] | static_cast<unsigned>(values[v + 1]) << 16;
      }
      const int last = q0 + VECTOR - 1;
      if (kFirst == 1 && last >= 0 && last < kTiles * 8) *at(last) = values[VECTOR - 1];
    } else {
#pragma unroll
      for (int v = 0; v < VECTOR; ++v) {
        const int from = column + v + kShift;
        if (from >= 0 && from % STRIDE_W == 0 && from / STRIDE_W < kTiles * 8) *at(from / STRIDE_W) = values[v];
      }
    }
    store_columns<kColumn + 1>(entry_s, swizzle, column, values);
  }
}

// A unit's S into the tile; row 0 of X lies under row `s_row` of S.
__device__ __forceinline__ void store_unit(const float (&sums)[UNIT_TILES][kPositions][4], int unit, int positions, int s_row, u16* tile) {
#pragma unroll
  for (int l = 0; l < LOADS; ++l) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      const int position = (unit / kEntryUnits * kUnitGroups + l * kGroups + accumulator_group(side)) * VECTOR;
      if (position >= positions) continue;
      u16* row = tile + (s_row + position / WIDTH) * kRowWords * 8;
#pragma unroll
      for (int m = 0; m < UNIT_TILES; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int entry = (unit % kEntryUnits * UNIT_TILES + m) * 16 + accumulator_entry(half * 2);
          if (entry >= DICTIONARY) continue;
          u16 values[VECTOR];
#pragma unroll
          for (int v = 0; v < VECTOR; ++v) values[v] = Math::store(sums[m][l * VECTOR + v][half * 2 + side]);
          store_columns<0>(row + entry * ENTRY_WORDS * 8, kSwizzled ? entry * kTiles / 8 & (kTiles - 1) : 0, position % WIDTH, values);
        }
      }
    }
  }
}

// Sums of a unit of S = D X, over every K_SPLITth step of channels.
__device__ __forceinline__ void multiply_unit(const u16* x, int positions, const uint4* dictionary, int unit, float (&sums)[UNIT_TILES][kPositions][4]) {
  const int lane = threadIdx.x % 32;
  const u16* lane_x[LOADS];
  bool inside[LOADS];
#pragma unroll
  for (int l = 0; l < LOADS; ++l) {
    const int position = (unit / kEntryUnits * kUnitGroups + l * kGroups + lane / 4) * VECTOR;
    inside[l] = position < positions;
    lane_x[l] = x + position;
  }
  multiply<Math, UNIT_TILES, LOADS, VECTOR, SharedMemory, DictionaryMemory<SHARED_DICTIONARY>>(
      lane_x, inside, IN_CHANNELS, X_PITCH, dictionary, kEntryTiles, unit % kEntryUnits * UNIT_TILES, threadIdx.x / 32 % K_SPLIT, K_SPLIT, sums);
}

// S = D X. Where several warps share a unit each has one; the sums of all but the first take X's place.
__device__ __forceinline__ void form_input_dictionary(const u16* x, int positions, int s_row, const uint4* dictionary, float* partial, u16* tile) {
  const int warp = threadIdx.x / 32;
  if constexpr (K_SPLIT == 1) {
    for (int unit = warp; unit < kUnits; unit += WARPS) {
      float sums[UNIT_TILES][kPositions][4] = {};
      multiply_unit(x, positions, dictionary, unit, sums);
      store_unit(sums, unit, positions, s_row, tile);
    }
  } else {
    constexpr int kSums = UNIT_TILES * kPositions * 4;
    const int unit = warp / K_SPLIT, share = warp % K_SPLIT;
    float sums[UNIT_TILES][kPositions][4] = {};
    float* unit_partial = partial + unit * (K_SPLIT - 1) * kSums * 32 + threadIdx.x % 32;
    const auto sum = [&](int i) -> float& { return sums[i / (kPositions * 4)][i / 4 % kPositions][i % 4]; };
    if (unit < kUnits) multiply_unit(x, positions, dictionary, unit, sums);
    __syncthreads();
    if (unit < kUnits && share > 0) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) unit_partial[((share - 1) * kSums + i) * 32] = sum(i);
    }
    __syncthreads();
    if (unit >= kUnits || share > 0) return;
#pragma unroll
    for (int other = 0; other < K_SPLIT - 1; ++other) {
#pragma unroll
      for (int i = 0; i < kSums; ++i) sum(i) += unit_partial[(other * kSums + i) * 32];
    }
    store_unit(sums, unit, positions, s_row, tile);
  }
}

// Four 8 x 8 matrices of 16 bits, transposed; lane l holds the address of row l % 8 of matrix l / 8. And the first two of them.
// Free to move: their addresses come from shared memory behind the barrier that S is behind.
__device__ __forceinline__ void load_matrices(unsigned (&b)[4], unsigned address) {
  asm("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(address));
}
__device__ __forceinline__ void load_matrices(unsigned (&b)[2], unsigned address) {
  asm("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(b[0]), "=r"(b[1]) : "r"(address));
}

// sums += coefficients x 16 rows of S. `row` is where S of the first output row lies, `place` where the lane's row lies from
// there; lanes behind 16 hold the second of the two tiles of a load: neighbours in a row, or in a column where a row is one.
__device__ __forceinline__ void multiply_step(const uint4& coefficients, unsigned row, unsigned place, RowSums& sums) {
  const auto pair = [&](unsigned address, float (&first)[4], float (&second)[4]) {
    unsigned b[4];
    load_matrices(b, address);
    Math::mma(first, coefficients, b[0], b[1]);
    Math::mma(second, coefficients, b[2], b[3]);
  };
  const auto single = [&](unsigned address, float (&only)[4]) {
    unsigned b[2];
    load_matrices(b, address);
    Math::mma(only, coefficients, b[0], b[1]);
  };
  const unsigned second = threadIdx.x / 16 % 2;
  if constexpr (kTiles == 1) {
    const unsigned address = row + place + second * kRowStep;
#pragma unroll
    for (int r = 0; r + 1 < WARP_ROWS; r += 2) pair(address + r * kRowStep, sums[r][0], sums[r + 1][0]);
    if constexpr (WARP_ROWS % 2 == 1) single(address + (WARP_ROWS - 1) * kRowStep, sums[WARP_ROWS - 1][0]);
  } else {
    const unsigned lane_place = kSwizzled ? place ^ second * 16 : place + second * 16;
#pragma unroll
    for (int t = 0; t < kTiles; t += 2) {
      const unsigned address = row + (kSwizzled ? lane_place ^ t * 16 : lane_place + t * 16);
#pragma unroll
      for (int r = 0; r < WARP_ROWS; ++r) {
        if (t + 1 < kTiles) pair(address + r * kRowStep, sums[r][t], sums[r][t + 1 < kTiles ? t + 1 : t]);
        else single(address + r * kRowStep, sums[r][t]);
      }
    }
  }
}

// A warp's outputs, sums and biases, into shared memory: [channel][kRunPitch].
__device__ __forceinline__ void stage_outputs(const RowSums& sums, const float (&biases)[2], u16* staging) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int r = 0; r < WARP_ROWS; ++r) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        u16* at = staging + (lane / 4 + half * 8) * kRunPitch + r * OUT_WIDTH;
        const int column = t * 8 + lane % 4 * 2;
        const u16 left = Math::store(biases[half] + sums[r][t][half * 2]), right = Math::store(biases[half] + sums[r][t][half * 2 + 1]);
        if constexpr (OUT_WIDTH % 2 == 0 && kRunPitch % 2 == 0) {
          if (column < OUT_WIDTH) *reinterpret_cast<unsigned*>(at + column) = left | static_cast<unsigned>(right) << 16;
        } else {
          if (column < OUT_WIDTH) at[column] = left;
          if (column + 1 < OUT_WIDTH) at[column + 1] = right;
        }
      }
    }
  }
}

// A warp's outputs from shared memory to y: `rows` rows of `channels` channels.
__device__ __forceinline__ void store_outputs(const u16* staging, u16* y, int channels, int rows) {
  using Stored = typename Word<2 * STORE>::Type;
  const int lane = threadIdx.x % 32;
  if constexpr (WHOLE_PLANES) {
    const int count = channels * kOutPlane / STORE;
    for (int i = lane; i < count; i += 32) reinterpret_cast<Stored*>(y)[i] = reinterpret_cast<const Stored*>(staging)[i];
  } else {  // 2^n lanes a channel
    constexpr int kWords = kRunPitch / STORE, kLanes = kWords > 16 ? 32 : kWords > 8 ? 16 : kWords > 4 ? 8 : 4;
    const int lane_channel = lane / kLanes, first = lane % kLanes * STORE;
    const u16* from = staging + lane_channel * kRunPitch;
    u16* to = y + static_cast<i64>(lane_channel) * kOutPlane;
#pragma unroll
    for (int channel = 0; channel < kChannels; channel += 32 / kLanes) {
      if (channel + lane_channel >= channels) break;
#pragma unroll
      for (int at = first; at < kRunPitch; at += kLanes * STORE) {
        if (at < rows * OUT_WIDTH) *reinterpret_cast<Stored*>(to + channel * kOutPlane + at) = *reinterpret_cast<const Stored*>(from + channel * kRunPitch + at);
      }
    }
  }
}

// `steps` and `first_step` are CompactLookups'; `bias` has a value for every channel of every group.
extern "C" __global__ void __launch_bounds__(kThreads)
    compact_gather(const u16* __restrict__ x, const uint4* __restrict__ dictionary, const uint4* __restrict__ steps,
                   const int* __restrict__ first_step, const float* __restrict__ bias, u16* __restrict__ y) {
  extern __shared__ uint4 shared[];
  __shared__ int starts[GROUPS + 1];
  uint4* tile = shared + INPUT_WORDS;
  uint4* shared_dictionary = tile + TILE_WORDS;
  uint4* list = shared_dictionary + (SHARED_DICTIONARY ? kDictionaryWords : 0);
  let_next_kernel_begin();
  const int first_group = blockIdx.y * GROUPS, groups = min(GROUPS, kAllGroups - first_group);
  const int begin = first_step[first_group], end = first_step[first_group + groups];
  const int start = first_step[first_group + min(static_cast<int>(threadIdx.x), groups)];
  if constexpr (SHARED_DICTIONARY) {
    for (int i = threadIdx.x; i < kDictionaryWords; i += kThreads) copy_word(shared_dictionary + i, dictionary + i);
  }
  wait_for_previous_kernel();
  // Rows of X under the block's S; S of the others, and of columns beside X, is zero.
  const int first_row = blockIdx.x * ROWS, top = first_row * STRIDE_H - PADDING_H;
  const int first_x_row = max(top, 0), x_rows = max(min(top + S_ROWS, HEIGHT) - first_x_row, 0);
  const u16* input = copy_input(x, blockIdx.z, first_x_row, x_rows, reinterpret_cast<u16*>(shared));
  if (threadIdx.x <= groups) starts[threadIdx.x] = start - begin;
  for (int i = threadIdx.x; i < (end - begin) * kStepWords; i += kThreads) copy_word(list + i, steps + static_cast<i64>(begin) * kStepWords + i);
  for (int i = threadIdx.x; i < TILE_WORDS; i += kThreads) tile[i] = make_uint4(0, 0, 0, 0);
  finish_copies();
  __syncthreads();
  form_input_dictionary(input, x_rows * WIDTH, first_x_row - top,
                        SHARED_DICTIONARY ? shared_dictionary : dictionary, reinterpret_cast<float*>(shared), reinterpret_cast<u16*>(tile));
  __syncthreads();

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  u16* staging = reinterpret_cast<u16*>(shared + warp * STAGING_WORDS);
  const unsigned tile_address = static_cast<unsigned>(__cvta_generic_to_shared(tile));
  for (int item = warp; item < groups * ROW_TILES; item += WARPS) {
    const int group = item % groups, row = item / groups * WARP_ROWS;
    RowSums sums = {};
    const uint4 *step = list + starts[group] * kStepWords, *last = list + (starts[group + 1] - 1) * kStepWords;
    const auto place_of = [&](const uint4* words) { return reinterpret_cast<const unsigned*>(words + 32)[lane % 16]; };
    if (step <= last) {
      uint4 coefficients = step[lane];
      unsigned place = place_of(step);
      for (; step < last; step += kStepWords) {  // a step is read while the one in front is multiplied
        const uint4 next_coefficients = step[kStepWords + lane];
        const unsigned next_place = place_of(step + kStepWords);
        multiply_step(coefficients, tile_address + row * kRowStep, place, sums);
        coefficients = next_coefficients;
        place = next_place;
      }
      multiply_step(coefficients, tile_address + row * kRowStep, place, sums);
    }
    const int first_channel = (first_group + group) * kChannels, channels = min(kChannels, OUT_CHANNELS - first_channel);
    const float biases[2] = {bias[first_channel + lane / 4], bias[first_channel + lane / 4 + 8]};
    __syncwarp();
    stage_outputs(sums, biases, staging);
    __syncwarp();
    const int out_row = first_row + row, rows = min(min(WARP_ROWS, ROWS - row), OUT_HEIGHT - out_row);
    if (rows > 0) store_outputs(staging, y + ((static_cast<i64>(blockIdx.z) * OUT_CHANNELS + first_channel) * OUT_HEIGHT + out_row) * OUT_WIDTH, channels, rows);
  }
}
