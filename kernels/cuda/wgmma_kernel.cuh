// The fused kernel whose stages are both dense products of warpgroups: text for NVRTC, behind dictionary_tile.cuh,
// hopper.cuh, the constants in capitals and the products.
//
// Problem: a block takes tiles of ROWS x COLUMNS output pixels of an image x BLOCK_CHANNELS output channels, always the same
//          channels, one tile after another: X of the next comes and S of it is formed while this one is looked up. Channels last.
// Tile:    X of these pixels and their halo, rows PITCH positions apart, zeros beside the image; S of them; P in a ring of slots.
// Load:    one warp has X copied by tiles, D in pieces, the lookups in one piece; three warps write the lookups as slots of
//          dense P: few of a slot's elements are not zero, these alone are written, and cleared before its next use.
// Compute: one warpgroup forms S = X D, FORM_TILES * 64 positions at a time as X comes, rounded, into shared memory as
//          [entries][position], so that any tap begins at an address of its own. The others follow it: y = S P over the pairs
//          of taps and 32 bytes of entries that any channel of the block looks up.
// Store:   a warpgroup's 64 positions, which are whole rows or lie in one, through shared memory by tiled copies of a row each.
using namespace lcnn_device;

using Math = MATH;
using Pair = decltype(Math::store_pair(0, 0));  // of neighbouring elements

struct alignas(64) TensorMap {
  char bytes[128];
};

// Warpgroups: of outputs, then the one that forms S, then a warp that has X and D copied and those that write P.
constexpr int kThreads = (OUTPUT_GROUPS + 2) * 128;
constexpr int kBuilders = 3;
constexpr int kSliceElements = 128 / ELEMENT_BYTES, kStepElements = 32 / ELEMENT_BYTES;
constexpr int kSlices = (IN_CHANNELS + kSliceElements - 1) / kSliceElements;
constexpr int kChannelSteps = (IN_CHANNELS + kStepElements - 1) / kStepElements;
constexpr int kInputPositions = INPUT_ROWS * PITCH, kInputBytes = kInputPositions * 128, kDictionaryBytes = ENTRIES * 128;
constexpr int kInputShift = ROW_SHIFT * PITCH;  // of X's position 0 in S
constexpr int kChunkPositions = CHUNK_ROWS * PITCH, kChunks = INPUT_ROWS / CHUNK_ROWS;
constexpr int kFarthestTap = (KERNEL_H - 1) * DILATION_H * PITCH + (KERNEL_W - 1) * DILATION_W;
constexpr int kEntryBlocks = ENTRIES * ELEMENT_BYTES / 16, kEntryBlockBytes = POSITIONS * 16;
constexpr int kStepBytes = BLOCK_CHANNELS * 32, kSlotBytes = SLOT_STEPS * kStepBytes;
constexpr bool kStreamed = STAGES > 0;  // X and D by slices of channels, in a ring
constexpr int kStages = kStreamed ? STAGES : 1;
constexpr int kStageBytes = kInputBytes + kDictionaryBytes;
constexpr int kSetGroups = OUTPUT_GROUPS / SETS;      // warpgroups that sum at once; sets take turns: one stores while the next sums
constexpr int kPassTiles = kSetGroups * GROUP_TILES;  // output tiles that are summed at once
constexpr int kPasses = (OUTPUT_TILES + kPassTiles - 1) / kPassTiles;
constexpr int kPieceChannels = 128 / ELEMENT_BYTES, kPieces = BLOCK_CHANNELS / kPieceChannels, kPieceBytes = 64 * 128;
constexpr int kTileRows = PITCH < 64 ? 64 / PITCH : 1, kRowTiles = PITCH < 64 ? 1 : PITCH / 64;  // rows of an output tile, tiles of a row
constexpr int kInputBarriers = kStreamed ? kStages : kChunks;
constexpr int kEntryBytes = kEntryBlocks * kEntryBlockBytes;  // of one of ENTRY_BUFFERS

struct Shared {
  u32 stage, staging, entries, ring, record, barriers;
  __device__ explicit Shared(u32 base)
      : stage(base), staging(base + STAGE_BYTES), entries(staging + OUTPUT_GROUPS * kPieces * kPieceBytes), ring(entries + ENTRY_BUFFERS * kEntryBytes),
        record(ring + RING * kSlotBytes), barriers(record + RECORD_BYTES) {}
  __device__ u32 barrier(int index) const { return barriers + index * 8; }
  __device__ u32 input(int i) const { return barrier(i); }
  __device__ u32 input_free(int i) const { return barrier(kInputBarriers + i); }
  __device__ u32 slot(int i) const { return barrier(2 * kInputBarriers + i); }
  __device__ u32 slot_free(int i) const { return barrier(2 * kInputBarriers + RING + i); }
  __device__ u32 dictionary() const { return barrier(2 * kInputBarriers + 2 * RING); }
  __device__ u32 lookups() const { return barrier(2 * kInputBarriers + 2 * RING + 1); }
  __device__ u32 turn(int set) const { return barrier(2 * kInputBarriers + 2 * RING + 2 + set); }
  __device__ u32 entries_free(int buffer) const { return barrier(2 * kInputBarriers + 2 * RING + 2 + SETS + buffer); }
  __device__ u32 entry_tile(int buffer, int i) const { return barrier(2 * kInputBarriers + 2 * RING + 2 + SETS + ENTRY_BUFFERS + buffer * INPUT_TILES + i); }
};

struct Tile {
  int block, first_row, first_column, image;
  __device__ explicit Tile(int index) : block(blockIdx.x % CHANNEL_BLOCKS) {
    first_column = index % COLUMN_TILES * COLUMNS;
    first_row = index / COLUMN_TILES % ROW_TILES * ROWS;
    image = index / (COLUMN_TILES * ROW_TILES);
  }
  __device__ int input_row() const { return first_row - PADDING_H + ROW_SHIFT; }
  __device__ int input_column() const { return first_column - PADDING_W; }
};

// A block's tiles, numbered from 0 as it takes them, and which buffer of S one lies in.
struct Share {
  int first = blockIdx.x / CHANNEL_BLOCKS, step = gridDim.x / CHANNEL_BLOCKS;
  __device__ int count() const { return (TILES - first + step - 1) / step; }
  __device__ Tile tile(int number) const { return Tile(first + number * step); }
  static __device__ int buffer(int number) { return number % ENTRY_BUFFERS; }
  static __device__ int parity(int number) { return number / ENTRY_BUFFERS & 1; }  // of the buffer's barriers
};

// The lookups of a block of channels, as wgmma_lookups.h says.
struct Record {
  const u32* words;
  __device__ float2 biases(int channel) const { return *reinterpret_cast<const float2*>(words + channel); }
  __device__ int slots() const { return words[BLOCK_CHANNELS]; }
  __device__ u32 place(int step) const { return words[BLOCK_CHANNELS + 1 + step]; }
  __device__ int first(int slot) const { return words[BLOCK_CHANNELS + 1 + MOST_SLOTS * SLOT_STEPS + slot]; }
  __device__ const u32* lookups() const { return words + LOOKUPS_WORD; }
};

__device__ __forceinline__ void write_lookup(char* slot, u32 lookup, bool clear) { reinterpret_cast<u16*>(slot)[lookup & 0xFFFF] = clear ? 0 : lookup >> 16; }
__device__ __forceinline__ void write_lookup(char* slot, const uint2& lookup, bool clear) { reinterpret_cast<u32*>(slot)[lookup.x] = clear ? 0 : lookup.y; }

__device__ __forceinline__ void init_barriers(const Shared& shared) {
  for (int i = 0; i < kInputBarriers; ++i) {
    init_barrier(shared.input(i), 1);
    init_barrier(shared.input_free(i), 1);
  }
  for (int i = 0; i < RING; ++i) {
    init_barrier(shared.slot(i), 1);
    init_barrier(shared.slot_free(i), kSetGroups);
  }
  for (int set = 0; set < SETS; ++set) init_barrier(shared.turn(set), kSetGroups);
  init_barrier(shared.dictionary(), 1);
  init_barrier(shared.lookups(), 1);
  for (int buffer = 0; buffer < ENTRY_BUFFERS; ++buffer) {
    init_barrier(shared.entries_free(buffer), kPasses * kSetGroups);
    for (int i = 0; i < INPUT_TILES; ++i) init_barrier(shared.entry_tile(buffer, i), 128);
  }
  publish_barriers();
}

// What the kernel in front has no part in: it comes before that one has ended.
__device__ __forceinline__ void copy_weights(const Shared& shared, const char* dictionary, const char* records) {
  arrive_expecting(shared.lookups(), RECORD_BYTES);
  bulk_copy(shared.record, records + static_cast<i64>(blockIdx.x % CHANNEL_BLOCKS) * RECORD_BYTES, RECORD_BYTES, shared.lookups());
  if constexpr (!kStreamed) {
    arrive_expecting(shared.dictionary(), kSlices * kDictionaryBytes);
    bulk_copy(shared.stage + kSlices * kInputBytes, dictionary, kSlices * kDictionaryBytes, shared.dictionary());
  }
}

// X of the share's tiles, rows of a tile as soon as those of the one in front have been used.
__device__ __forceinline__ void copy_input(const Shared& shared, const Share& share, int first, int last, const TensorMap& map) {
  for (int number = first; number < last; ++number) {
    const Tile tile = share.tile(number);
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      if (number > 0) wait_barrier(shared.input_free(chunk), (number - 1) & 1);
      arrive_expecting(shared.input(chunk), kSlices * kChunkPositions * 128);
      for (int slice = 0; slice < kSlices; ++slice) {
        tiled_copy(shared.stage + slice * kInputBytes + chunk * kChunkPositions * 128, &map, slice * kSliceElements, tile.input_column(),
                   tile.input_row() + chunk * CHUNK_ROWS, tile.image, shared.input(chunk));
      }
    }
  }
}

// X and D of the share's tiles, in slices of channels; first and last count slices of all tiles.
__device__ __forceinline__ void copy_slices(const Shared& shared, const Share& share, int first, int last, const TensorMap& map, const char* dictionary) {
  for (int i = first; i < last; ++i) {
    const int stage = i % kStages, slice = i % kSlices;
    const Tile tile = share.tile(i / kSlices);
    const u32 to = shared.stage + stage * kStageBytes;
    if (i >= kStages) wait_barrier(shared.input_free(stage), (i / kStages - 1) & 1);
    arrive_expecting(shared.input(stage), kStageBytes);
    bulk_copy(to + kInputBytes, dictionary + slice * kDictionaryBytes, kDictionaryBytes, shared.input(stage));
    tiled_copy(to, &map, slice * kSliceElements, tile.input_column(), tile.input_row(), tile.image, shared.input(stage));
  }
}

// A slot's lookups into dense P, or zeros in their place; by a warp, which reads some before it writes them.
__device__ __forceinline__ void write_slot(const Record& record, int slot, char* to, bool clear) {
  using Lookup = typename Word<ELEMENT_BYTES == 2 ? 4 : 8>::Type;
  constexpr int kAtOnce = 4;
  const auto* lookups = reinterpret_cast<const Lookup*>(record.lookups());
  const int end = record.first(slot + 1);
  for (int first = record.first(slot) + threadIdx.x % 32; first < end; first += 32 * kAtOnce) {
    Lookup some[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) some[i] = lookups[min(first + i * 32, end - 1)];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i * 32 < end) write_lookup(to, some[i], clear);
    }
  }
}

// The slots of every kBuilders-th buffer of the ring, of all tiles and passes where the ring does not hold them all. A buffer is
// always the same warp's: where sets take turns, buffers do not become free in the order of their slots.
__device__ __forceinline__ void build_slots(const Shared& shared, const Share& share, const Record& record, char* ring, int builder) {
  wait_barrier(shared.lookups(), 0);
  const int slots = record.slots(), count = RESIDENT ? slots : slots * kPasses * share.count();
  int parity = 1;
  for (int first = 0; first < count; first += RING) {
    for (int buffer = builder; buffer < RING && first + buffer < count; buffer += kBuilders) {
      char* to = ring + buffer * kSlotBytes;
      if (first > 0) {
        wait_barrier(shared.slot_free(buffer), parity);
        write_slot(record, (first - RING + buffer) % slots, to, true);
        __syncwarp();
      }
      write_slot(record, (first + buffer) % slots, to, false);
      publish_to_async_units();
      __syncwarp();
      if (threadIdx.x % 32 == 0) arrive(shared.slot(buffer));
    }
    parity ^= 1;
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

// S of kCount tiles of 64 from `first` on, in memory and announced.
template <int kCount>
__device__ __forceinline__ void announce_entries(const float (&sums)[kCount][ENTRIES / 2], int first, const Shared& shared, int buffer, char* entries) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (first + i < INPUT_TILES) store_entries(sums[i], first + i, entries + buffer * kEntryBytes);
  }
  publish_to_async_units();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    if (first + i < INPUT_TILES) arrive(shared.entry_tile(buffer, first + i));
  }
}

__device__ __forceinline__ void wait_for_free_entries(const Shared& shared, int number) {
  if (number >= ENTRY_BUFFERS) wait_barrier(shared.entries_free(Share::buffer(number)), Share::parity(number) ^ 1);
}

// S, as rows of X come; D is whole in shared memory.
__device__ __forceinline__ void form_entries(const Shared& shared, const Share& share, char* entries) {
  wait_barrier(shared.dictionary(), 0);
  const int tiles = share.count();
#pragma unroll 1
  for (int number = 0; number < tiles; ++number) {
    int chunks_seen = 0, chunks_used = 0;
    wait_for_free_entries(shared, number);
#pragma unroll 1
    for (int first = 0; first < INPUT_TILES; first += FORM_TILES) {
      const int behind = min((first + FORM_TILES) * 64, kInputPositions);
      for (; chunks_seen * kChunkPositions < behind; ++chunks_seen) wait_barrier(shared.input(chunks_seen), number & 1);
      float sums[FORM_TILES][ENTRIES / 2];
      begin_products();
#pragma unroll
      for (int step = 0; step < kChannelSteps; ++step) {
        const int slice = step / 4, within = step % 4 * 32;
        const u64 dictionary = swizzled_operand(shared.stage + kSlices * kInputBytes + slice * kDictionaryBytes + within);
#pragma unroll
        for (int i = 0; i < FORM_TILES; ++i) {
          const int tile = min(first + i, INPUT_TILES - 1);
          Product<ENTRIES>::add(sums[i], swizzled_operand(shared.stage + slice * kInputBytes + tile * 8192 + within), dictionary, step);
        }
      }
      commit_products();
      wait_products<0>();
      for (; (chunks_used + 1) * kChunkPositions <= behind; ++chunks_used) {
        if (threadIdx.x % 128 == 0) arrive(shared.input_free(chunks_used));
      }
      announce_entries(sums, first, shared, Share::buffer(number), entries);
    }
  }
}

// S, as slices of channels of X and D come and go.
__device__ __forceinline__ void form_entries_streamed(const Shared& shared, const Share& share, char* entries) {
  const int tiles = share.count();
  int stage = 0, parity = 0;
#pragma unroll 1
  for (int number = 0; number < tiles; ++number) {
    float sums[INPUT_TILES][ENTRIES / 2];
    u32 previous = 0;
#pragma unroll 1
    for (int slice = 0; slice < kSlices; ++slice) {
      const u32 input = shared.stage + stage * kStageBytes;
      wait_barrier(shared.input(stage), parity);
      begin_products();
#pragma unroll
      for (int within = 0; within < 128; within += 32) {
#pragma unroll
        for (int tile = 0; tile < INPUT_TILES; ++tile) {
          Product<ENTRIES>::add(sums[tile], swizzled_operand(input + tile * 8192 + within), swizzled_operand(input + kInputBytes + within), slice + within);
        }
      }
      commit_products();
      if (slice > 0) {
        wait_products<1>();
        if (threadIdx.x % 128 == 0) arrive(previous);
      }
      previous = shared.input_free(stage);
      if (++stage == kStages) {
        stage = 0;
        parity ^= 1;
      }
    }
    wait_products<0>();
    if (threadIdx.x % 128 == 0) arrive(previous);
    wait_for_free_entries(shared, number);
    announce_entries(sums, 0, shared, Share::buffer(number), entries);
  }
}

// sums = S P of the tiles of 64 from `first` on; S lies at `entries`. `pass` counts the block's passes.
__device__ __forceinline__ void multiply_lookups(const Shared& shared, u32 entries, const Record& record, int first, int pass,
                                                 float (&sums)[GROUP_TILES][BLOCK_CHANNELS / 2]) {
  const int slots = record.slots();
  int buffer = RESIDENT ? 0 : pass * slots % RING, parity = RESIDENT ? 0 : pass * slots / RING & 1;
  u32 previous = 0;
#pragma unroll 1
  for (int slot = 0; slot < slots; ++slot) {
    wait_barrier(shared.slot(buffer), parity);
    begin_products();
#pragma unroll
    for (int k = 0; k < SLOT_STEPS; ++k) {
      const u32 place = entries + record.place(slot * SLOT_STEPS + k);
      const u64 lookups = blocked_operand(shared.ring + buffer * kSlotBytes + k * kStepBytes, BLOCK_CHANNELS * 16);
#pragma unroll
      for (int i = 0; i < GROUP_TILES; ++i) {
        Product<BLOCK_CHANNELS>::add(sums[i], blocked_operand(place + min(first + i, OUTPUT_TILES - 1) * 1024, kEntryBlockBytes), lookups, slot + k);
      }
    }
    commit_products();
    if constexpr (!RESIDENT) {
      if (slot > 0) {
        wait_products<1>();
        if (threadIdx.x % 128 == 0) arrive(previous);
      }
      previous = shared.slot_free(buffer);
    }
    if (++buffer == RING) {
      buffer = 0;
      parity ^= !RESIDENT;
    }
  }
  if (SETS > 1 && threadIdx.x % 128 == 0) arrive(shared.turn((pass + 1) % SETS));
  wait_products<0>();
  if (!RESIDENT && threadIdx.x % 128 == 0) arrive(previous);
}

// Output tile `index` of `tile`, by a warpgroup; `staging` is its own, swizzled as the map of y says.
__device__ __forceinline__ void store_outputs(const float (&sums)[BLOCK_CHANNELS / 2], const Tile& tile, int index, const Record& record, int group, char* staging,
                                              const TensorMap& map) {
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 % 4 * 16 + lane / 4;
  const bool stores = threadIdx.x % 128 == 0;
  if (stores) wait_stores_read();
  meet<128>(1 + group);
  constexpr int kAtOnce = 8;  // reads of biases do not pass writes of outputs
#pragma unroll
  for (int block = 0; block < BLOCK_CHANNELS / 8; block += kAtOnce) {
    float2 biases[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) biases[i] = record.biases((block + i) * 8 + lane % 4 * 2);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int byte = ((block + i) * 8 + lane % 4 * 2) * ELEMENT_BYTES;
      char* to = staging + byte / 128 * kPieceBytes + first * 128 + ((byte % 128 / 16) ^ lane / 4) * 16 + byte % 16;
      const float* values = sums + (block + i) * 4;
      *reinterpret_cast<Pair*>(to) = Math::store_pair(values[0] + biases[i].x, values[1] + biases[i].y);
      *reinterpret_cast<Pair*>(to + 8 * 128) = Math::store_pair(values[2] + biases[i].x, values[3] + biases[i].y);
    }
  }
  publish_to_async_units();
  meet<128>(1 + group);
  if (!stores) return;
  const int row = index / kRowTiles * kTileRows, column = tile.first_column + index % kRowTiles * 64, from = shared_address(staging);
#pragma unroll
  for (int r = 0; r < kTileRows; ++r) {
    if (row + r >= ROWS) break;
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      tiled_store(&map, from + piece * kPieceBytes + r * PITCH * 128, tile.block * BLOCK_CHANNELS + piece * kPieceChannels, column, tile.first_row + row + r,
                  tile.image);
    }
  }
  commit_stores();
}

// A warpgroup's part of the output tiles of 64.
__device__ __forceinline__ void look_up(const Shared& shared, const Share& share, const Record& record, int group, char* staging, const TensorMap& map) {
  wait_barrier(shared.lookups(), 0);
  const int passes = share.count() * kPasses, set = group / kSetGroups;
#pragma unroll 1
  for (int pass = set; pass < passes; pass += SETS) {  // of all tiles
    const int number = pass / kPasses, buffer = Share::buffer(number);
    const Tile tile = share.tile(number);
    const int first = (pass % kPasses * kSetGroups + group % kSetGroups) * GROUP_TILES;
    // A pass may be in front of another set's only as far as that barriers cannot take a phase for the one after the next.
    if (SETS > 1 && pass > 0) wait_barrier(shared.turn(set), (pass / SETS - (set == 0)) & 1);
    const int last_position = min(first + GROUP_TILES, OUTPUT_TILES) * 64 - 1 + kFarthestTap - kInputShift;
    const int last = min(last_position / 64, INPUT_TILES - 1);
    for (int i = 0; i <= last; ++i) wait_barrier(shared.entry_tile(buffer, i), Share::parity(number));
    float sums[GROUP_TILES][BLOCK_CHANNELS / 2];
    multiply_lookups(shared, shared.entries + buffer * kEntryBytes, record, first, pass, sums);
    if (threadIdx.x % 128 == 0) arrive(shared.entries_free(buffer));
#pragma unroll
    for (int i = 0; i < GROUP_TILES; ++i) {
      if (first + i < OUTPUT_TILES) store_outputs(sums[i], tile, first + i, record, group, staging, map);
    }
  }
  if (threadIdx.x % 128 == 0) wait_stores();
}

extern "C" __global__ void __launch_bounds__(kThreads)
    wgmma_fused(const __grid_constant__ TensorMap input_map, const __grid_constant__ TensorMap output_map, const char* __restrict__ dictionary,
                const char* __restrict__ records) {
  extern __shared__ __align__(1024) char memory[];
  const Shared shared(shared_address(memory));
  char* entries = memory + (shared.entries - shared.stage);
  char* ring = memory + (shared.ring - shared.stage);
  const Record record{reinterpret_cast<const u32*>(memory + (shared.record - shared.stage))};
  const Share share;
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // which the compiler then knows to be one for all lanes
  const int group = warp / 4, helper = warp - (OUTPUT_GROUPS + 1) * 4;
  const bool copies = helper == 0 && threadIdx.x % 32 == 0;
  // Copies begin before the others are ready: of the first tile, or as many slices as the ring holds.
  const int inputs = kStreamed ? share.count() * kSlices : share.count(), first_inputs = min(kStreamed ? kStages : 1, inputs);
  const auto copy_inputs = [&](int first, int last) {
    if constexpr (kStreamed) copy_slices(shared, share, first, last, input_map, dictionary);
    else copy_input(shared, share, first, last, input_map);
  };
  let_next_kernel_begin();
  if (copies) {
    prefetch_map(&input_map);
    prefetch_map(&output_map);
    init_barriers(shared);
    copy_weights(shared, dictionary, records);
    wait_for_previous_kernel();
    copy_inputs(0, first_inputs);
  } else if (helper != 0) {
    const int thread = threadIdx.x - (helper > 0 ? 32 : 0);
    constexpr int kZeroing = kThreads - 32;
    for (int i = thread; i < RING * kSlotBytes / 16; i += kZeroing) reinterpret_cast<uint4*>(ring)[i] = make_uint4(0, 0, 0, 0);
    // Of S, what X does not lie under.
    constexpr int kBehind = kInputShift + kInputPositions, kOthers = POSITIONS - kInputPositions;
    for (int i = thread; i < kOthers * kEntryBlocks * ENTRY_BUFFERS; i += kZeroing) {
      const int other = i % kOthers, position = other < kInputShift ? other : other - kInputShift + kBehind;
      reinterpret_cast<uint4*>(entries + i / kOthers * kEntryBlockBytes)[position] = make_uint4(0, 0, 0, 0);
    }
    publish_to_async_units();
  }
  __syncthreads();
  if (helper == 0) {
    if (copies) copy_inputs(first_inputs, inputs);
  } else if (helper > 0) {
    build_slots(shared, share, record, ring, helper - 1);
  } else if (group == OUTPUT_GROUPS) {
    if constexpr (kStreamed) form_entries_streamed(shared, share, entries);
    else form_entries(shared, share, entries);
  } else {
    look_up(shared, share, record, group, memory + (shared.staging - shared.stage) + group * kPieces * kPieceBytes, output_map);
  }
}
