// What wgmma_fused copies and forms, the loop over its outputs, and the kernel itself: text behind wgmma_block.cuh and one of the
// look-up stages.
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

// A slot's lookups into P, or zeros in their place; by a warp, which reads some before it writes them.
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

// sums = S P of a part; S lies at `entries`. `pass` counts the block's passes. While a slot's products run, the operands of the next
// are loaded into the other of two sets of registers, which those of the slot in front have done with.
__device__ __forceinline__ void multiply_lookups(const Shared& shared, u32 entries, const Record& record, const Part& part, int pass, Sums& sums) {
  const int slots = record.slots();
  int buffer = RESIDENT ? 0 : pass * slots % RING, parity = RESIDENT ? 0 : pass * slots / RING & 1;
  u32 previous = 0;
  SlotOperands even, odd;
  const auto free_previous = [&] {
    if (!RESIDENT && threadIdx.x % 128 == 0) arrive(previous);
  };
  const auto add = [&](int slot, const SlotOperands& own, SlotOperands& other) {
    wait_barrier(shared.slot(buffer), parity);
    begin_products();
    add_slot(sums, own, part, shared.ring + buffer * kSlotBytes, entries, slot);
    commit_products();
    if (slot > 0) {
      wait_products<1>();
      other.end();
      free_previous();
    }
    if (slot + 1 < slots) other.load(record, part, slot + 1);
    previous = shared.slot_free(buffer);
    if (++buffer == RING) {
      buffer = 0;
      parity ^= !RESIDENT;
    }
  };
  even.load(record, part, 0);
#pragma unroll 1
  for (int slot = 0; slot < slots; slot += 2) {
    add(slot, even, odd);
    if (slot + 1 < slots) add(slot + 1, odd, even);
  }
  if (SETS > 1 && threadIdx.x % 128 == 0) arrive(shared.turn((pass + 1) % SETS));
  wait_products<0>();
  even.end();
  odd.end();
  free_previous();
}

// A warpgroup's parts of the outputs.
__device__ __forceinline__ void look_up(const Shared& shared, const Share& share, const Record& record, int group, char* staging, const TensorMap& map) {
  wait_barrier(shared.lookups(), 0);
  const int passes = share.count() * kPasses, set = group / kSetGroups;
#pragma unroll 1
  for (int pass = set; pass < passes; pass += SETS) {  // of all tiles
    const int number = pass / kPasses, buffer = Share::buffer(number);
    const Tile tile = share.tile(number);
    const Part part(pass, group);
    // A pass may be in front of another set's only as far as that barriers cannot take a phase for the one after the next.
    if (SETS > 1 && pass > 0) wait_barrier(shared.turn(set), (pass / SETS - (set == 0)) & 1);
    const int last_position = min(part.first + PART_POSITIONS, OUTPUT_POSITIONS) - 1 + kFarthestTap - kInputShift;
    const int last = min(last_position / 64, INPUT_TILES - 1);
    for (int i = 0; i <= last; ++i) wait_barrier(shared.entry_tile(buffer, i), Share::parity(number));
    Sums sums;
    multiply_lookups(shared, shared.entries + buffer * kEntryBytes, record, part, pass, sums);
    if (threadIdx.x % 128 == 0) arrive(shared.entries_free(buffer));
    store_outputs(sums, tile, part, record, group, staging, map);
  }
  if (threadIdx.x % 128 == 0) wait_stores_read<0>();  // what is written is there when the kernel has ended
}

// By all threads but those of the warp that copies, numbered from 0.
__device__ __forceinline__ void zero(char* to, int bytes, int thread) {
  for (int i = thread; i < bytes / 16; i += kThreads - 32) reinterpret_cast<uint4*>(to)[i] = make_uint4(0, 0, 0, 0);
}

// Of S, what X does not lie under, and the blocks of entries that only fill up a step.
__device__ __forceinline__ void zero_around_entries(char* entries, int thread) {
  constexpr int kBehind = kInputShift + kInputPositions, kOthers = POSITIONS - kInputPositions;
  for (int i = thread; i < kOthers * kFormedBlocks; i += kThreads - 32) {
    const int other = i % kOthers, position = other < kInputShift ? other : other - kInputShift + kBehind;
    reinterpret_cast<uint4*>(entries + i / kOthers * kEntryBlockBytes)[position] = make_uint4(0, 0, 0, 0);
  }
  zero(entries + kFormedBlocks * kEntryBlockBytes, (kEntryBlocks - kFormedBlocks) * kEntryBlockBytes, thread);
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
    zero(ring, RING * kSlotBytes, thread);
    for (int buffer = 0; buffer < ENTRY_BUFFERS; ++buffer) zero_around_entries(entries + buffer * kEntryBytes, thread);
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
    look_up(shared, share, record, group, memory + (shared.staging - shared.stage) + group * STAGING_BYTES, output_map);
  }
}
