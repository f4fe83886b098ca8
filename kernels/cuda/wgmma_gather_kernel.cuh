// wgmma_gather's loop over what is looked up, and the kernel itself: text behind wgmma_gather_block.cuh and wgmma_gather_items.cuh.

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

__device__ __forceinline__ void look_up(const Shared& shared, int first, int step, const char* entries, const Record& record, int warp, Stores stores) {
  static_assert(DICTIONARY_PARTS == 1 || kItems <= GATHER_WARPS, "sums stay in registers from one part to the next");
  int formed_parity = 0;
  const auto wait_for_entries = [&] {
    wait_barrier(shared.formed(), formed_parity);
    formed_parity ^= 1;
  };
  wait_barrier(shared.lookups(), 0);
#pragma unroll 1
  for (int index = first; index < TILES; index += step) {
    const Tile tile(index);
#pragma unroll 1
    for (int item = warp; item < kItems; item += GATHER_WARPS) {
      const auto formed = [&] {
        if (item == warp) wait_for_entries();
      };
      const auto looked_up = [&] {
        if (item + GATHER_WARPS >= kItems) announce_looked_up(shared);
      };
      look_up_item(entries, record, tile, item, stores, formed, looked_up);
    }
    for (int part = 0; warp >= kItems && part < DICTIONARY_PARTS; ++part) {
      wait_for_entries();
      announce_looked_up(shared);
    }
  }
  stores.wait();
}

extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(kThreads, 1)
    wgmma_gather(const __grid_constant__ TensorMap input_map, const __grid_constant__ TensorMap output_map, const char* __restrict__ dictionary,
                 const char* __restrict__ records) {
  extern __shared__ __align__(1024) char memory[];
  const Shared shared(shared_address(memory));
  char* entries = memory + (shared.entries - shared.stages);
  const Record record{entries + ENTRY_BYTES};
  const int warp = __shfl_sync(~0u, threadIdx.x / 32, 0);  // which the compiler then knows to be one for all lanes
  const int first = blockIdx.x / kChannelBlocks, step = gridDim.x / kChannelBlocks;
  char* stores = memory + (shared.stores - shared.stages);
  let_next_kernel_begin();
  if (threadIdx.x == 0) {
    prefetch_map(&input_map);
    prefetch_map(&output_map);
    for (int stage = 0; stage < STAGES; ++stage) {
      init_barrier(shared.input(stage), 1);
      init_barrier(shared.input_free(stage), kFormWarps);
    }
    for (int stage = 0; stage < DICTIONARY_STAGES; ++stage) {
      init_barrier(shared.entries_of(stage), 1);
      init_barrier(shared.entries_free(stage), kFormWarps);
    }
    init_barrier(shared.formed(), kFormWarps * 32 + (CLUSTER > 1));
    init_barrier(shared.looked_up(), CLUSTER == 1 ? GATHER_WARPS * 32 : CLUSTER * GATHER_WARPS);
    init_barrier(shared.lookups(), 1);
    publish_barriers();
    arrive_expecting(shared.lookups(), RECORD_BYTES);
    bulk_copy(shared.record, records + static_cast<i64>(channel_block()) * RECORD_BYTES, RECORD_BYTES, shared.lookups());
    const Slices slices(first, step);
    for (int number = 0; number < min(DICTIONARY_STAGES, slices.dictionaries()); ++number) copy_dictionary(shared, number, dictionary);
    wait_for_previous_kernel();
    for (int number = 0; number < min(STAGES, slices.inputs()); ++number) copy_input(shared, number, first, step, input_map);
  } else if (warp > 0) {
    for (int i = threadIdx.x - 32; i < ENTRIES * (ENTRY_PITCH - kPositions); i += kThreads - 32) {
      const int entry = i / (ENTRY_PITCH - kPositions), behind = i % (ENTRY_PITCH - kPositions);
      reinterpret_cast<u32*>(entries)[entry * ENTRY_PITCH + kPositions + behind] = 0;
    }
    if constexpr (CLUSTER > 1) publish_to_async_units();  // copied to other blocks with what lies in front of them
  }
  if constexpr (CLUSTER > 1) meet_cluster();
  else __syncthreads();
  if (warp < kFormWarps) {
    take_registers<FORM_REGISTERS, kThreads>();
    form_entries(shared, first, step, memory, reinterpret_cast<u32*>(entries), warp / 4, input_map, dictionary);
  } else {
    take_registers<GATHER_REGISTERS, kThreads>();
    look_up(shared, first, step, entries, record, warp - kFormWarps, Stores(stores, warp - kFormWarps, output_map));
  }
  if constexpr (CLUSTER > 1) meet_cluster();  // others write into this block's memory as long as they run
}
