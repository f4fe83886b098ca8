// The look-up stage of wgmma_fused with dense P: rows of the product are positions, columns the block's channels, a step's
// inner index 32 bytes of entries. Text behind wgmma_block.cuh, with the same interface as wgmma_sparse_lookups.cuh.
constexpr int kGroupTiles = PART_POSITIONS / 64;

using Sums = float[kGroupTiles][BLOCK_CHANNELS / 2];

// What a slot's products take besides the slot: addresses, which they have once they are begun.
struct SlotOperands {
  u32 place[SLOT_STEPS];
  __device__ __forceinline__ void load(const Record& record, const Part&, int slot) {
#pragma unroll
    for (int k = 0; k < SLOT_STEPS; ++k) place[k] = record.place(slot * SLOT_STEPS + k);
  }
  __device__ __forceinline__ void end() const {}
};

// sums += S P of the steps of a slot, which lies at `ring`; S lies at `entries`. Those of slot 0 are the first.
__device__ __forceinline__ void add_slot(Sums& sums, const SlotOperands& operands, const Part& part, u32 ring, u32 entries, int slot) {
#pragma unroll
  for (int k = 0; k < SLOT_STEPS; ++k) {
    const u64 lookups = blocked_operand(ring + k * kStepBytes, BLOCK_CHANNELS * 16);
#pragma unroll
    for (int i = 0; i < kGroupTiles; ++i) {
      const int position = min(part.first + i * 64, OUTPUT_POSITIONS - 64);
      Product<BLOCK_CHANNELS>::add(sums[i], blocked_operand(entries + operands.place[k] + position * 16, kEntryBlockBytes), lookups, slot + k);
    }
  }
}

// A part of `tile` by its warpgroup; `staging` is its own, swizzled as the map of y says.
__device__ __forceinline__ void store_outputs(const Sums& sums, const Tile& tile, const Part& part, const Record& record, int group, char* staging,
                                              const TensorMap& map) {
  const int lane = threadIdx.x % 32, first = threadIdx.x / 32 % 4 * 16 + lane / 4;
  const bool stores = threadIdx.x % 128 == 0;
#pragma unroll
  for (int tile64 = 0; tile64 < kGroupTiles; ++tile64) {
    const int position = part.first + tile64 * 64;
    if (position >= OUTPUT_POSITIONS) break;
    if (stores) wait_stores_read<0>();
    meet<128>(1 + group);
    constexpr int kAtOnce = 8;  // reads of biases do not pass writes of outputs
#pragma unroll
    for (int block = 0; block < BLOCK_CHANNELS / 8; block += kAtOnce) {
      float2 biases[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) biases[i] = *reinterpret_cast<const float2*>(record.biases((block + i) * 8 + lane % 4 * 2));
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int byte = ((block + i) * 8 + lane % 4 * 2) * ELEMENT_BYTES;
        char* to = staging + byte / 128 * kStagedBytes + first * 128 + ((byte % 128 / 16) ^ lane / 4) * 16 + byte % 16;
        const float* values = sums[tile64] + (block + i) * 4;
        *reinterpret_cast<Pair*>(to) = Math::store_pair(values[0] + biases[i].x, values[1] + biases[i].y);
        *reinterpret_cast<Pair*>(to + 8 * 128) = Math::store_pair(values[2] + biases[i].x, values[3] + biases[i].y);
      }
    }
    publish_to_async_units();
    meet<128>(1 + group);
    if (!stores) continue;
#pragma unroll
    for (int channel = 0; channel < BLOCK_CHANNELS; channel += kStagedChannels) {
      store_rows(map, shared_address(staging) + channel / kStagedChannels * kStagedBytes, tile, position, 64, channel);
    }
    commit_stores();
  }
}
