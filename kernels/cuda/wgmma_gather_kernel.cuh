// The fused kernel whose dictionary stage is products of warpgroups and whose look-up stage gathers from shared memory: text for
// NVRTC, behind dictionary_tile.cuh, hopper.cuh, the constants in capitals and the products. Channels last, stride 1.
//
// Problem: a cluster of blocks takes tiles of IMAGES whole images, or of ROWS x COLUMNS pixels of one, all output channels, one tile after another.
// Tile:    S of the tile and its halo as [entry][position], in fp32; rows PITCH positions apart, zeros beside the image. Each
//          block forms some of the entries or of the positions, and has them copied to the others of the cluster.
// Load:    a thread has X and D copied, in slices of 128 bytes of channels, as soon as the slice in their place has been used; the
//          lookups come once.
// Compute: warpgroups form S, in registers while the tile in front is still looked up. Strict fp32 takes X from shared memory
//          as two tf32 terms, D has two of its own, and three products are summed a slice at a time; the rest is as in dictionary_tile.cuh.
//          The other warps have ITEM_CHANNELS output channels x PIXELS * 32 positions each, lanes side by side; behind this text
//          follows wgmma_listed_lookups.cuh or wgmma_baked_lookups.cuh.
// Store:   32 bytes of a position by two lanes, straight to memory: parts of them would be written one by one.
using namespace lcnn_device;

using Math = MATH;
using Element = Math::Element;

struct alignas(64) TensorMap {
  char bytes[128];
};

constexpr int kFormWarps = FORM_GROUPS * 4, kThreads = (kFormWarps + GATHER_WARPS) * 32;
constexpr int kSliceElements = 128 / ELEMENT_BYTES, kSlices = (IN_CHANNELS + kSliceElements - 1) / kSliceElements;
// What a block forms of S: all positions of some entries, or some positions of all. Of its positions are products of 64 each.
constexpr int kEntryParts = CLUSTER / POSITION_PARTS, kOwnEntries = ENTRIES / kEntryParts, kOwnPositions = OWN_IMAGES * OWN_ROWS * PITCH;
constexpr int kPositions = POSITION_PARTS * kOwnPositions;
constexpr int kFormTiles = (kOwnPositions + 63) / 64, kOwnTiles = (kFormTiles + FORM_GROUPS - 1) / FORM_GROUPS;  // of a block; of a warpgroup
constexpr int kInputBytes = (kOwnPositions + 7) / 8 * 1024, kTermBytes = kOwnEntries * 128;
constexpr int kStageBytes = kInputBytes + Math::kTerms * kTermBytes;
constexpr int kItems = (BLOCK_CHANNELS + ITEM_CHANNELS - 1) / ITEM_CHANNELS * POSITION_BLOCKS;
constexpr int kStoredChannels = 32 / ELEMENT_BYTES;  // that a lane stores at once
constexpr int kImageElements = OUT_HEIGHT * OUT_WIDTH * OUT_CHANNELS, kLookedUp = POSITION_BLOCKS * PIXELS * 32;  // positions

using Pair = decltype(Math::store_pair(0, 0));  // of neighbouring channels

struct Shared {
  u32 stages, entries, record, offsets, barriers;
  __device__ explicit Shared(u32 base)
      : stages(base), entries(base + STAGES * kStageBytes), record(entries + ENTRY_BYTES), offsets(record + RECORD_BYTES), barriers(offsets + kLookedUp * 4) {}
  __device__ u32 slice(int stage) const { return barriers + stage * 8; }
  __device__ u32 slice_free(int stage) const { return barriers + (STAGES + stage) * 8; }
  __device__ u32 formed() const { return barriers + 2 * STAGES * 8; }
  __device__ u32 looked_up() const { return formed() + 8; }
  __device__ u32 lookups() const { return formed() + 16; }
};

// The lookups of a block's channels, as wgmma_gather_source.h says.
struct Record {
  const char* words;
  __device__ float bias(int channel) const { return reinterpret_cast<const float*>(words)[channel]; }
  __device__ int first(int channel) const { return reinterpret_cast<const int*>(words)[BLOCK_CHANNELS + channel]; }
  __device__ const uint2* lookups() const { return reinterpret_cast<const uint2*>(words + LOOKUPS_BYTE); }
};

struct Tile {
  int first_column, first_row, image;
  __device__ explicit Tile(int index)
      : first_column(index % COLUMN_TILES * COLUMNS), first_row(index / COLUMN_TILES % ROW_TILES * ROWS), image(index / COLUMN_TILES / ROW_TILES * IMAGES) {}
};

// How many slices a cluster's tiles have in all.
__device__ __forceinline__ int slices_of(int first, int step) { return (TILES - first + step - 1) / step * kSlices; }

// Which of the entries' and of the positions' parts this block forms.
__device__ __forceinline__ int entry_part() { return POSITION_PARTS == 1 ? block_of_cluster() : 0; }
__device__ __forceinline__ int position_part() { return POSITION_PARTS == 1 ? 0 : block_of_cluster(); }

// X and D of a slice, counted over all tiles of the cluster, as far as this block forms S of them.
__device__ __forceinline__ void copy_slice(const Shared& shared, int number, int first, int step, const TensorMap& map, const char* dictionary) {
  const int slice = number % kSlices, stage = number % STAGES;
  const Tile tile(first + number / kSlices * step);
  const u32 to = shared.stages + stage * kStageBytes, barrier = shared.slice(stage);
  arrive_expecting(barrier, kOwnPositions * 128 + Math::kTerms * kTermBytes);
  bulk_copy(to + kInputBytes, dictionary + (entry_part() * kSlices + slice) * Math::kTerms * kTermBytes, Math::kTerms * kTermBytes, barrier);
  tiled_copy(to, &map, slice * kSliceElements, tile.first_column - PADDING_W, tile.first_row - PADDING_H + (IMAGES == 1 ? position_part() * OWN_ROWS : 0),
             tile.image + (IMAGES == 1 ? 0 : position_part() * OWN_IMAGES), barrier);
}

// A thread's elements of 64 x 32 floats of X. Which of a step's channels lies where is free, as D is packed in the same order: two
// words of 16 bytes of a row hold a thread's.
struct Floats {
  float4 words[2][2];
  // `last` is the last row of X; behind it it is repeated.
  __device__ __forceinline__ void load(const char* rows, int last) {
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int word = 0; word < 2; ++word) words[half][word] = *reinterpret_cast<const float4*>(rows + min(row + half * 8, last) * 128 + ((lane % 4 * 2 + word) ^ lane / 4) * 16);
    }
  }
  // As two tf32 terms each, in the order of four products' registers: rounded to the nearest, and the rest.
  __device__ __forceinline__ void split(u32 (&high)[4][4], u32 (&low)[4][4]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int word = 0; word < 2; ++word) {
        const float4& loaded = words[half][word];
        const float values[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const u32 term = (__float_as_uint(values[i]) + 0x1000u) & 0xFFFFE000u;
          high[word * 2 + i / 2][i % 2 * 2 + half] = term;
          low[word * 2 + i / 2][i % 2 * 2 + half] = __float_as_uint(values[i] - __uint_as_float(term));
        }
      }
    }
  }
};

// The 64 positions of X that a warpgroup takes i-th; it repeats the last where there are fewer.
__device__ __forceinline__ int form_tile(int group, int i) { return min(group + i * FORM_GROUPS, kFormTiles - 1); }

// sums (+)= X D of a slice in strict fp32: while the products of some positions run, X of the next is loaded.
template <int kColumns>
__device__ __forceinline__ void add_slice_in_terms(float (&sums)[kOwnTiles][kColumns / 2], const char* input, u32 dictionary, int group, int slice) {
  Floats next;
  const auto load = [&](int tile) { next.load(input + tile * 8192, kOwnPositions - 1 - tile * 64); };
  load(form_tile(group, 0));
#pragma unroll
  for (int i = 0; i < kOwnTiles; ++i) {
    u32 high[4][4], low[4][4];
    next.split(high, low);
    float partial[kColumns / 2];
    begin_products();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const u64 high_operand = swizzled_operand(dictionary + step * 32), low_operand = swizzled_operand(dictionary + kTermBytes + step * 32);
      RegisterProduct<kColumns>::add(partial, low[step], high_operand, step);
      RegisterProduct<kColumns>::add(partial, high[step], low_operand, 1);
      RegisterProduct<kColumns>::add(partial, high[step], high_operand, 1);
    }
    commit_products();
    if (i + 1 < kOwnTiles) load(form_tile(group, i + 1));
    wait_products<0>();
#pragma unroll
    for (int j = 0; j < kColumns / 2; ++j) sums[i][j] = slice == 0 ? partial[j] : sums[i][j] + partial[j];
  }
}

// The same in one term.
template <int kColumns>
__device__ __forceinline__ void add_slice(float (&sums)[kOwnTiles][kColumns / 2], u32 input, u32 dictionary, int group, int slice) {
  begin_products();
#pragma unroll
  for (int i = 0; i < kOwnTiles; ++i) {
#pragma unroll
    for (int within = 0; within < 128; within += 32) {
      Product<kColumns>::add(sums[i], swizzled_operand(input + form_tile(group, i) * 8192 + within), swizzled_operand(dictionary + within), slice + within);
    }
  }
  commit_products();
  wait_products<0>();
}

template <int kTerms, int kColumns>
__device__ __forceinline__ void add_slice(float (&sums)[kOwnTiles][kColumns / 2], const Shared& shared, const char* memory, int stage, int group, int slice) {
  const int at = stage * kStageBytes;
  if constexpr (kTerms == 2) add_slice_in_terms<kColumns>(sums, memory + at, shared.stages + at + kInputBytes, group, slice);
  else add_slice<kColumns>(sums, shared.stages + at, shared.stages + at + kInputBytes, group, slice);
}

// A warpgroup's sums of 64 positions of X into S.
__device__ __forceinline__ void store_entries(const float (&sums)[kOwnEntries / 2], int tile, float* entries) {
  const int lane = threadIdx.x % 32, first = tile * 64 + threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int position = first + half * 8;
    if (position >= kOwnPositions) continue;
    float* to = entries + lane % 4 * 2 * ENTRY_PITCH + position;
#pragma unroll
    for (int i = 0; i < kOwnEntries / 8; ++i) {
      to[i * 8 * ENTRY_PITCH] = sums[i * 4 + half * 2];
      to[(i * 8 + 1) * ENTRY_PITCH] = sums[i * 4 + half * 2 + 1];
    }
  }
}

// What this block has formed to the others, and S announced here; by all that form S.
__device__ __forceinline__ void announce_entries(const Shared& shared) {
  arrive(shared.formed());
  if constexpr (CLUSTER == 1) return;
  publish_to_async_units();
  meet<kFormWarps * 32>(1);
  // Entries are one piece of memory, positions one of each entry.
  constexpr int kPieces = POSITION_PARTS == 1 ? 1 : ENTRIES, kPieceBytes = POSITION_PARTS == 1 ? kOwnEntries * ENTRY_PITCH * 4 : kOwnPositions * 4;
  if (threadIdx.x == 0) arrive_expecting(shared.formed(), (CLUSTER - 1) * kPieces * kPieceBytes);
  if (threadIdx.x >= kPieces) return;
  const u32 own = shared.entries + ((entry_part() * kOwnEntries + threadIdx.x) * ENTRY_PITCH + position_part() * kOwnPositions) * 4;
  for (int block = 0; block < CLUSTER; ++block) {
    if (block != block_of_cluster()) copy_to_block(of_block(own, block), own, kPieceBytes, of_block(shared.formed(), block));
  }
}

__device__ __forceinline__ void form_entries(const Shared& shared, int first, int step, const char* memory, float* entries, int group, const TensorMap& map,
                                             const char* dictionary) {
  float* own_entries = entries + entry_part() * kOwnEntries * ENTRY_PITCH + position_part() * kOwnPositions;
  const int slices = slices_of(first, step);
  int number = 0, stage = 0, parity = 0, looked_up_parity = 1;
#pragma unroll 1
  for (int index = first; index < TILES; index += step) {
    float sums[kOwnTiles][kOwnEntries / 2];
#pragma unroll 1
    for (int slice = 0; slice < kSlices; ++slice, ++number) {
      wait_barrier(shared.slice(stage), parity);
      add_slice<Math::kTerms, kOwnEntries>(sums, shared, memory, stage, group, slice);
      __syncwarp();
      if (threadIdx.x % 32 == 0) arrive(shared.slice_free(stage));
      if (threadIdx.x == 0 && number + STAGES < slices) {
        wait_barrier(shared.slice_free(stage), parity);
        copy_slice(shared, number + STAGES, first, step, map, dictionary);
      }
      __syncwarp();
      if (++stage == STAGES) {
        stage = 0;
        parity ^= 1;
      }
    }
    if constexpr (CLUSTER > 1) wait_cluster_barrier(shared.looked_up(), looked_up_parity);
    else wait_barrier(shared.looked_up(), looked_up_parity);
    looked_up_parity ^= 1;
#pragma unroll
    for (int i = 0; i < kOwnTiles; ++i) {
      if (group + i * FORM_GROUPS < kFormTiles) store_entries(sums[i], group + i * FORM_GROUPS, own_entries);
    }
    announce_entries(shared);
  }
}

// 32 bytes of a position of each lane, to where lanes 2i and 2i + 1 have them; nowhere from `limit` on. The two store those of each.
__device__ __forceinline__ void store_words(char* to, const uint2& offsets, u32 limit, const u32 (&words)[8]) {
  const bool odd = threadIdx.x % 2 != 0;
  u32 own[4], other[4], first[4], second[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    own[i] = choose(odd, words[4 + i], words[i]);
    other[i] = __shfl_xor_sync(~0u, choose(odd, words[i], words[4 + i]), 1);
    first[i] = choose(odd, other[i], own[i]);
    second[i] = choose(odd, own[i], other[i]);
  }
  const u32 half = odd ? 16 : 0;
  if (offsets.x < limit) *reinterpret_cast<uint4*>(to + (offsets.x + half)) = make_uint4(first[0], first[1], first[2], first[3]);
  if (offsets.y < limit) *reinterpret_cast<uint4*>(to + (offsets.y + half)) = make_uint4(second[0], second[1], second[2], second[3]);
}

// Where a tile's positions lie in y, in bytes from the tile's first; none has all bits set.
__device__ __forceinline__ u32 output_offset(int position) {
  const int line = position / PITCH, column = position % PITCH, image = line / IMAGE_ROWS, row = line % IMAGE_ROWS;
  if (column >= COLUMNS || row >= ROWS || row >= OUT_HEIGHT || image >= IMAGES) return ~0u;
  return (image * kImageElements + (row * OUT_WIDTH + column) * OUT_CHANNELS) * ELEMENT_BYTES;
}

// By a warp: channels [item / POSITION_BLOCKS * ITEM_CHANNELS, + ITEM_CHANNELS) of the block's, fewer at the end of y, at the
// item % POSITION_BLOCKS'th PIXELS * 32 positions of a tile. `to` is the block's first channel at the tile's first position, `limit` as in
// store_words().
__device__ __forceinline__ void look_up_item(const char* entries, const Record& record, const uint2* offsets, int item, char* to, u32 limit);

// By a warp: S has been looked up, which every block of the cluster waits for before it forms more.
__device__ __forceinline__ void announce_looked_up(const Shared& shared) {
  if constexpr (CLUSTER == 1) {
    arrive(shared.looked_up());
  } else {
    __syncwarp();
    if (threadIdx.x % 32 != 0) return;
    for (int block = 0; block < CLUSTER; ++block) arrive_at(of_block(shared.looked_up(), block));
  }
}

__device__ __forceinline__ void look_up(const Shared& shared, int first, int step, const char* entries, const Record& record, const uint2* offsets, int warp, Element* y) {
  const int block_channel = block_of_cluster() * BLOCK_CHANNELS;
  int formed_parity = 0;
  wait_barrier(shared.lookups(), 0);
#pragma unroll 1
  for (int index = first; index < TILES; index += step) {
    const Tile tile(index);
    const i64 first_element = static_cast<i64>(tile.image) * kImageElements + (tile.first_row * OUT_WIDTH + tile.first_column) * OUT_CHANNELS;
    // Bytes of y from the tile's first: of as many of its images, or of its rows, as there are.
    const u32 limit = (IMAGES == 1 ? (OUT_HEIGHT - tile.first_row) * OUT_WIDTH * OUT_CHANNELS : min(IMAGES, BATCH - tile.image) * kImageElements) * ELEMENT_BYTES;
    wait_barrier(shared.formed(), formed_parity);
    formed_parity ^= 1;
#pragma unroll 1
    for (int item = warp; item < kItems; item += GATHER_WARPS) {
      look_up_item(entries, record, offsets, item, reinterpret_cast<char*>(y + first_element + block_channel), limit);
    }
    announce_looked_up(shared);
  }
}

extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(kThreads)
    wgmma_gather(const __grid_constant__ TensorMap input_map, const char* __restrict__ dictionary, const char* __restrict__ records, Element* __restrict__ y) {
  extern __shared__ __align__(1024) char memory[];
  const Shared shared(shared_address(memory));
  char* entries = memory + STAGES * kStageBytes;
  const Record record{entries + ENTRY_BYTES};
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // which the compiler then knows to be one for all lanes
  const int first = blockIdx.x / CLUSTER, step = gridDim.x / CLUSTER;
  let_next_kernel_begin();
  auto* offsets = reinterpret_cast<u32*>(memory + (shared.offsets - shared.stages));
  if (threadIdx.x == 0) {
    prefetch_map(&input_map);
    for (int stage = 0; stage < STAGES; ++stage) {
      init_barrier(shared.slice(stage), 1);
      init_barrier(shared.slice_free(stage), kFormWarps);
    }
    init_barrier(shared.formed(), kFormWarps * 32 + (CLUSTER > 1));
    init_barrier(shared.looked_up(), CLUSTER == 1 ? GATHER_WARPS * 32 : CLUSTER * GATHER_WARPS);
    init_barrier(shared.lookups(), 1);
    publish_barriers();
    arrive_expecting(shared.lookups(), RECORD_BYTES);
    bulk_copy(shared.record, records + static_cast<i64>(block_of_cluster()) * RECORD_BYTES, RECORD_BYTES, shared.lookups());
    wait_for_previous_kernel();
    for (int number = 0; number < min(STAGES, slices_of(first, step)); ++number) copy_slice(shared, number, first, step, input_map, dictionary);
  } else if (warp > 0) {
    for (int i = threadIdx.x - 32; i < kLookedUp; i += kThreads - 32) offsets[i] = output_offset(i);
    for (int i = threadIdx.x - 32; i < ENTRIES * (ENTRY_PITCH - kPositions); i += kThreads - 32) {
      const int entry = i / (ENTRY_PITCH - kPositions), behind = i % (ENTRY_PITCH - kPositions);
      reinterpret_cast<float*>(entries)[entry * ENTRY_PITCH + kPositions + behind] = 0;
    }
    if constexpr (CLUSTER > 1) publish_to_async_units();  // copied to other blocks with what lies in front of them
  }
  if constexpr (CLUSTER > 1) meet_cluster();
  else __syncthreads();
  if (warp < kFormWarps) {
    form_entries(shared, first, step, memory, reinterpret_cast<float*>(entries), warp / 4, input_map, dictionary);
  } else {
    look_up(shared, first, step, entries, record, reinterpret_cast<const uint2*>(offsets), warp - kFormWarps, y);
  }
  if constexpr (CLUSTER > 1) meet_cluster();  // others write into this block's memory as long as they run
}
