// The fused kernel whose stages are both dense products of warpgroups: text for NVRTC, behind dictionary_tile.cuh,
// hopper.cuh, the constants in capitals and the products.
//
// Problem: ROWS x COLUMNS output pixels of one image x BLOCK_CHANNELS output channels, channels last.
// Tile:    X of these pixels and their halo, rows PITCH positions apart, zeros beside the image; S of them; P in a ring of slots.
// Load:    one warp has X copied by tiles, D in pieces, the lookups in one piece; three warps write the lookups as slots of
//          dense P: few of a slot's elements are not zero, these alone are written, and cleared before its next use.
// Compute: one warpgroup forms S = X D, FORM_TILES * 64 positions at a time as X comes, rounded, into shared memory as
//          [entries][position], so that any tap begins at an address of its own. The others follow it: y = S P over the pairs
//          of taps and 32 bytes of entries that any channel of the block looks up.
// Store:   a warp's 16 positions through shared memory, 16 bytes a lane.
using namespace lcnn_device;

using Math = MATH;
using Pair = decltype(Math::store_pair(0, 0));  // of neighbouring elements

struct alignas(64) TensorMap {
  char bytes[128];
};

// Warpgroups: of outputs, then the one that forms S, then a warp that has X and D copied and those that write P.
constexpr int kThreads = (OUTPUT_GROUPS + 2) * 128;
constexpr int kBuilders = RING < 3 ? RING : 3;  // no more than slots: one that is a round ahead would take a phase of a barrier for another
constexpr int kSliceElements = 128 / ELEMENT_BYTES, kStepElements = 32 / ELEMENT_BYTES;
constexpr int kSlices = (IN_CHANNELS + kSliceElements - 1) / kSliceElements;
constexpr int kChannelSteps = (IN_CHANNELS + kStepElements - 1) / kStepElements;
constexpr int kInputPositions = INPUT_ROWS * PITCH, kInputBytes = kInputPositions * 128, kDictionaryBytes = ENTRIES * 128;
constexpr int kInputTiles = (kInputPositions + 63) / 64, kOutputTiles = ((ROWS - 1) * PITCH + COLUMNS + 63) / 64;
constexpr int kInputShift = ROW_SHIFT * PITCH;  // of X's position 0 in S
constexpr int kChunkPositions = CHUNK_ROWS * PITCH, kChunks = INPUT_ROWS / CHUNK_ROWS;
constexpr int kFarthestTap = (KERNEL_H - 1) * DILATION_H * PITCH + (KERNEL_W - 1) * DILATION_W;
constexpr int kEntryBlocks = ENTRIES * ELEMENT_BYTES / 16, kEntryBlockBytes = POSITIONS * 16;
constexpr int kStepBytes = BLOCK_CHANNELS * 32, kSlotBytes = SLOT_STEPS * kStepBytes;
constexpr bool kStreamed = STAGES > 0;  // X and D by slices of channels, in a ring
constexpr int kStages = kStreamed ? STAGES : 1;
constexpr int kStageBytes = kInputBytes + kDictionaryBytes;
constexpr int kPassTiles = OUTPUT_GROUPS * GROUP_TILES;  // output tiles that are summed at once
constexpr int kPasses = (kOutputTiles + kPassTiles - 1) / kPassTiles;
constexpr int kPieceChannels = 128 / ELEMENT_BYTES, kStagingPitch = 144;
constexpr int kInputBarriers = kStreamed ? kStages : kChunks;

struct Shared {
  u32 stage, entries, ring, record, staging, barriers;
  __device__ explicit Shared(u32 base)
      : stage(base), entries(base + STAGE_BYTES), ring(entries + kEntryBlocks * kEntryBlockBytes), record(ring + RING * kSlotBytes),
        staging(record + RECORD_BYTES), barriers(staging + OUTPUT_GROUPS * 4 * 16 * kStagingPitch) {}
  __device__ u32 barrier(int index) const { return barriers + index * 8; }
  __device__ u32 input(int i) const { return barrier(i); }
  __device__ u32 input_free(int i) const { return barrier(kInputBarriers + i); }
  __device__ u32 slot(int i) const { return barrier(2 * kInputBarriers + i); }
  __device__ u32 slot_free(int i) const { return barrier(2 * kInputBarriers + RING + i); }
  __device__ u32 entry_tile(int i) const { return barrier(2 * kInputBarriers + 2 * RING + i); }
  __device__ u32 dictionary() const { return barrier(2 * kInputBarriers + 2 * RING + kInputTiles); }
  __device__ u32 lookups() const { return barrier(2 * kInputBarriers + 2 * RING + kInputTiles + 1); }
};

struct Tile {
  int block, first_row, first_column, image;
  __device__ Tile()
      : block(blockIdx.x % CHANNEL_BLOCKS), first_row(blockIdx.y * ROWS), first_column(blockIdx.x / CHANNEL_BLOCKS * COLUMNS), image(blockIdx.z) {}
  __device__ int input_row() const { return first_row - PADDING_H + ROW_SHIFT; }
  __device__ int input_column() const { return first_column - PADDING_W; }
};

// The lookups of a block of channels, as wgmma_lookups.h says.
struct Record {
  const u32* words;
  __device__ float2 biases(int channel) const { return *reinterpret_cast<const float2*>(words + channel); }
  __device__ int slots() const { return words[BLOCK_CHANNELS]; }
  __device__ u32 place(int step) const { return words[BLOCK_CHANNELS + 1 + step]; }
  __device__ int first(int slot) const { return words[BLOCK_CHANNELS + 1 + MOST_SLOTS * SLOT_STEPS + slot]; }
  __device__ const u32* lookup(int i) const { return words + BLOCK_CHANNELS + 2 + MOST_SLOTS * (SLOT_STEPS + 1) + i * (ELEMENT_BYTES == 2 ? 1 : 2); }
};

__device__ __forceinline__ void init_barriers(const Shared& shared) {
  for (int i = 0; i < kInputBarriers; ++i) {
    init_barrier(shared.input(i), 1);
    init_barrier(shared.input_free(i), 1);
  }
  for (int i = 0; i < RING; ++i) {
    init_barrier(shared.slot(i), 1);
    init_barrier(shared.slot_free(i), OUTPUT_GROUPS);
  }
  for (int i = 0; i < kInputTiles; ++i) init_barrier(shared.entry_tile(i), 128);
  init_barrier(shared.dictionary(), 1);
  init_barrier(shared.lookups(), 1);
  publish_barriers();
}

// Copies that one thread begins before the others are ready: all of them, or as many slices as the ring holds.
__device__ __forceinline__ void begin_copies(const Shared& shared, const Tile& tile, const TensorMap& map, const char* dictionary, const char* records) {
  prefetch_map(&map);
  arrive_expecting(shared.lookups(), RECORD_BYTES);
  bulk_copy(shared.record, records + static_cast<i64>(tile.block) * RECORD_BYTES, RECORD_BYTES, shared.lookups());
  if constexpr (kStreamed) {
    for (int slice = 0; slice < kStages; ++slice) {
      arrive_expecting(shared.input(slice), kStageBytes);
      bulk_copy(shared.stage + slice * kStageBytes + kInputBytes, dictionary + slice * kDictionaryBytes, kDictionaryBytes, shared.input(slice));
    }
    wait_for_previous_kernel();
    for (int slice = 0; slice < kStages; ++slice) {
      tiled_copy(shared.stage + slice * kStageBytes, &map, slice * kSliceElements, tile.input_column(), tile.input_row(), tile.image, shared.input(slice));
    }
  } else {
    arrive_expecting(shared.dictionary(), kSlices * kDictionaryBytes);
    bulk_copy(shared.stage + kSlices * kInputBytes, dictionary, kSlices * kDictionaryBytes, shared.dictionary());
    wait_for_previous_kernel();
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      arrive_expecting(shared.input(chunk), kSlices * kChunkPositions * 128);
      for (int slice = 0; slice < kSlices; ++slice) {
        tiled_copy(shared.stage + slice * kInputBytes + chunk * kChunkPositions * 128, &map, slice * kSliceElements, tile.input_column(),
                   tile.input_row() + chunk * CHUNK_ROWS, tile.image, shared.input(chunk));
      }
    }
  }
}

// The slices that the ring did not hold at first.
__device__ __forceinline__ void copy_other_slices(const Shared& shared, const Tile& tile, const TensorMap& map, const char* dictionary) {
  for (int slice = kStages; slice < kSlices; ++slice) {
    const int stage = slice % kStages;
    wait_barrier(shared.input_free(stage), (slice / kStages - 1) & 1);
    const u32 to = shared.stage + stage * kStageBytes;
    arrive_expecting(shared.input(stage), kStageBytes);
    bulk_copy(to + kInputBytes, dictionary + slice * kDictionaryBytes, kDictionaryBytes, shared.input(stage));
    tiled_copy(to, &map, slice * kSliceElements, tile.input_column(), tile.input_row(), tile.image, shared.input(stage));
  }
}

// A slot's lookups into dense P, or zeros in their place; by a warp.
__device__ __forceinline__ void write_slot(const Record& record, int slot, char* to, bool clear) {
  for (int i = record.first(slot) + threadIdx.x % 32; i < record.first(slot + 1); i += 32) {
    const u32* lookup = record.lookup(i);
    if constexpr (ELEMENT_BYTES == 2) reinterpret_cast<u16*>(to)[*lookup & 0xFFFF] = clear ? 0 : *lookup >> 16;
    else reinterpret_cast<u32*>(to)[lookup[0]] = clear ? 0 : lookup[1];
  }
}

// Every kBuilders-th slot, of all passes where the ring does not hold them all.
__device__ __forceinline__ void build_slots(const Shared& shared, const Record& record, char* ring, int builder) {
  wait_barrier(shared.lookups(), 0);
  const int slots = record.slots(), count = RESIDENT ? slots : slots * kPasses;
  for (int i = builder; i < count; i += kBuilders) {
    const int buffer = i % RING;
    char* to = ring + buffer * kSlotBytes;
    if (i >= RING) {
      wait_barrier(shared.slot_free(buffer), (i / RING - 1) & 1);
      write_slot(record, (i - RING) % slots, to, true);
      __syncwarp();
    }
    write_slot(record, i % slots, to, false);
    publish_to_async_units();
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(shared.slot(buffer));
  }
}

// A warpgroup's sums of 64 positions of X, from `tile` on, into S.
__device__ __forceinline__ void store_entries(const float (&sums)[ENTRIES / 2], int tile, char* entries) {
  const int lane = threadIdx.x % 32, first = tile * 64 + threadIdx.x / 32 % 4 * 16 + lane / 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int position = first + half * 8;
    if (position >= kInputPositions) continue;
    char* to = entries + (position + kInputShift) * 16;
#pragma unroll
    for (int i = 0; i < ENTRIES / 8; ++i) {
      const int byte = (i * 8 + lane % 4 * 2) * ELEMENT_BYTES;
      *reinterpret_cast<Pair*>(to + byte / 16 * kEntryBlockBytes + byte % 16) = Math::round_pair(sums[i * 4 + half * 2], sums[i * 4 + half * 2 + 1]);
    }
  }
}

// S of kCount tiles from `first` on, in memory and announced.
template <int kCount>
__device__ __forceinline__ void announce_entries(const float (&sums)[kCount][ENTRIES / 2], int first, const Shared& shared, char* entries) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (first + i < kInputTiles) store_entries(sums[i], first + i, entries);
  }
  publish_to_async_units();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (first + i < kInputTiles) arrive(shared.entry_tile(first + i));
  }
}

// S, as rows of X come; D is whole in shared memory.
__device__ __forceinline__ void form_entries(const Shared& shared, char* entries) {
  int chunks_seen = 0;
  wait_barrier(shared.dictionary(), 0);
#pragma unroll 1
  for (int first = 0; first < kInputTiles; first += FORM_TILES) {
    const int last = min((first + FORM_TILES) * 64 - 1, kInputPositions - 1) / kChunkPositions;
    for (; chunks_seen <= last; ++chunks_seen) wait_barrier(shared.input(chunks_seen), 0);
    float sums[FORM_TILES][ENTRIES / 2];
    begin_products();
#pragma unroll
    for (int step = 0; step < kChannelSteps; ++step) {
      const int slice = step / 4, within = step % 4 * 32;
      const u64 dictionary = swizzled_operand(shared.stage + kSlices * kInputBytes + slice * kDictionaryBytes + within);
#pragma unroll
      for (int i = 0; i < FORM_TILES; ++i) {
        const int tile = min(first + i, kInputTiles - 1);
        Product<ENTRIES>::add(sums[i], swizzled_operand(shared.stage + slice * kInputBytes + tile * 8192 + within), dictionary, step);
      }
    }
    commit_products();
    wait_products<0>();
    announce_entries(sums, first, shared, entries);
  }
}

// S, as slices of channels of X and D come and go.
__device__ __forceinline__ void form_entries_streamed(const Shared& shared, char* entries) {
  float sums[kInputTiles][ENTRIES / 2];
#pragma unroll 1
  for (int slice = 0; slice < kSlices; ++slice) {
    const u32 stage = shared.stage + slice % kStages * kStageBytes;
    wait_barrier(shared.input(slice % kStages), slice / kStages & 1);
    begin_products();
#pragma unroll
    for (int within = 0; within < 128; within += 32) {
#pragma unroll
      for (int tile = 0; tile < kInputTiles; ++tile) {
        Product<ENTRIES>::add(sums[tile], swizzled_operand(stage + tile * 8192 + within), swizzled_operand(stage + kInputBytes + within), slice + within);
      }
    }
    commit_products();
    if (slice > 0 && kStages < kSlices) {
      wait_products<1>();
      if (threadIdx.x % 128 == 0) arrive(shared.input_free((slice - 1) % kStages));
    }
  }
  wait_products<0>();
  announce_entries(sums, 0, shared, entries);
}

struct SlotCursor {
  int buffer = 0, parity = 0;
  __device__ void advance() {
    if (++buffer == RING) {
      buffer = 0;
      if (!RESIDENT) parity ^= 1;
    }
  }
};

// sums = S P of the tiles from `first` on.
__device__ __forceinline__ void multiply_lookups(const Shared& shared, const Record& record, int first, SlotCursor& cursor,
                                                 float (&sums)[GROUP_TILES][BLOCK_CHANNELS / 2]) {
  const int slots = record.slots();
  if constexpr (RESIDENT) cursor.buffer = 0;
  u32 previous = 0;
#pragma unroll 1
  for (int slot = 0; slot < slots; ++slot) {
    wait_barrier(shared.slot(cursor.buffer), cursor.parity);
    begin_products();
#pragma unroll
    for (int k = 0; k < SLOT_STEPS; ++k) {
      const u32 place = shared.entries + record.place(slot * SLOT_STEPS + k);
      const u64 lookups = blocked_operand(shared.ring + cursor.buffer * kSlotBytes + k * kStepBytes, BLOCK_CHANNELS * 16);
#pragma unroll
      for (int i = 0; i < GROUP_TILES; ++i) {
        Product<BLOCK_CHANNELS>::add(sums[i], blocked_operand(place + min(first + i, kOutputTiles - 1) * 1024, kEntryBlockBytes), lookups, slot + k);
      }
    }
    commit_products();
    if constexpr (!RESIDENT) {
      if (slot > 0) {
        wait_products<1>();
        if (threadIdx.x % 128 == 0) arrive(previous);
      }
      previous = shared.slot_free(cursor.buffer);
    }
    cursor.advance();
  }
  wait_products<0>();
  if (!RESIDENT && threadIdx.x % 128 == 0) arrive(previous);
}

// 64 positions of y, from output tile `index` on.
__device__ __forceinline__ void store_outputs(const float (&sums)[BLOCK_CHANNELS / 2], const Tile& tile, int index, const Record& record, char* staging, char* y) {
  const int lane = threadIdx.x % 32, first = index * 64 + threadIdx.x / 32 % 4 * 16;
  const int first_channel = tile.block * BLOCK_CHANNELS;
  constexpr int kVectors = kPieceChannels / 8;  // of a pair each lane, in a piece
#pragma unroll
  for (int piece = 0; piece < BLOCK_CHANNELS / kPieceChannels; ++piece) {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const float2 biases = record.biases(piece * kPieceChannels + i * 8 + lane % 4 * 2);
      const float* values = sums + (piece * kVectors + i) * 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        char* to = staging + (lane / 4 + half * 8) * kStagingPitch + (i * 8 + lane % 4 * 2) * ELEMENT_BYTES;
        *reinterpret_cast<Pair*>(to) = Math::store_pair(values[half * 2] + biases.x, values[half * 2 + 1] + biases.y);
      }
    }
    __syncwarp();
    const int channel = first_channel + piece * kPieceChannels + lane % 8 * (16 / ELEMENT_BYTES);
#pragma unroll
    for (int i = 0; i < 16; i += 4) {
      const int position = first + i + lane / 8, row = position / PITCH, column = position % PITCH;
      const int out_row = tile.first_row + row, out_column = tile.first_column + column;
      if (row < ROWS && column < COLUMNS && out_row < OUT_HEIGHT && out_column < OUT_WIDTH && channel < OUT_CHANNELS) {
        const i64 pixel = (static_cast<i64>(tile.image) * OUT_HEIGHT + out_row) * OUT_WIDTH + out_column;
        *reinterpret_cast<uint4*>(y + (pixel * OUT_CHANNELS + channel) * ELEMENT_BYTES) =
            *reinterpret_cast<const uint4*>(staging + (i + lane / 8) * kStagingPitch + lane % 8 * 16);
      }
    }
  }
}

// A warpgroup's share of the output tiles.
__device__ __forceinline__ void look_up(const Shared& shared, const Tile& tile, const Record& record, int group, char* staging, char* y) {
  SlotCursor cursor;
  int tiles_seen = 0;
  wait_barrier(shared.lookups(), 0);
#pragma unroll 1
  for (int pass = 0; pass < kPasses; ++pass) {
    const int first = (pass * OUTPUT_GROUPS + group) * GROUP_TILES;
    const int last_position = min(first + GROUP_TILES, kOutputTiles) * 64 - 1 + kFarthestTap - kInputShift;
    const int last = min(last_position / 64, kInputTiles - 1);
    for (; tiles_seen <= last; ++tiles_seen) wait_barrier(shared.entry_tile(tiles_seen), 0);
    float sums[GROUP_TILES][BLOCK_CHANNELS / 2];
    multiply_lookups(shared, record, first, cursor, sums);
#pragma unroll
    for (int i = 0; i < GROUP_TILES; ++i) {
      if (first + i < kOutputTiles) store_outputs(sums[i], tile, first + i, record, staging, y);
    }
  }
}

extern "C" __global__ void __launch_bounds__(kThreads)
    wgmma_fused(const __grid_constant__ TensorMap map, const char* __restrict__ dictionary, const char* __restrict__ records, char* __restrict__ y) {
  extern __shared__ __align__(1024) char memory[];
  const Shared shared(shared_address(memory));
  char* entries = memory + (shared.entries - shared.stage);
  char* ring = memory + (shared.ring - shared.stage);
  const Record record{reinterpret_cast<const u32*>(memory + (shared.record - shared.stage))};
  const Tile tile;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // which the compiler then knows to be one for all lanes
  const int group = warp / 4, helper = warp - (OUTPUT_GROUPS + 1) * 4;
  const bool copies = helper == 0;
  let_next_kernel_begin();
  if (copies) {
    if (threadIdx.x % 32 == 0) {
      init_barriers(shared);
      begin_copies(shared, tile, map, dictionary, records);
    }
  } else {
    const int thread = threadIdx.x - (helper > 0 ? 32 : 0);
    constexpr int kZeroing = kThreads - 32;
    for (int i = thread; i < RING * kSlotBytes / 16; i += kZeroing) reinterpret_cast<uint4*>(ring)[i] = make_uint4(0, 0, 0, 0);
    // Of S, what X does not lie under.
    constexpr int kBehind = kInputShift + kInputPositions, kOthers = POSITIONS - kInputPositions;
    for (int i = thread; i < kOthers * kEntryBlocks; i += kZeroing) {
      const int other = i % kOthers, position = other < kInputShift ? other : other - kInputShift + kBehind;
      reinterpret_cast<uint4*>(entries + i / kOthers * kEntryBlockBytes)[position] = make_uint4(0, 0, 0, 0);
    }
    publish_to_async_units();
  }
  __syncthreads();
  if (copies) {
    if (kStreamed && threadIdx.x % 32 == 0) copy_other_slices(shared, tile, map, dictionary);
  } else if (helper > 0) {
    if (helper <= kBuilders) build_slots(shared, record, ring, helper - 1);
  } else if (group == OUTPUT_GROUPS) {
    if constexpr (kStreamed) form_entries_streamed(shared, entries);
    else form_entries(shared, entries);
  } else {
    look_up(shared, tile, record, group, memory + (shared.staging - shared.stage) + threadIdx.x / 32 * 16 * kStagingPitch, y);
  }
}
