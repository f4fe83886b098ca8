// The look-up stage of wgmma_fused with P as the units' 2:4 sparse operand: rows of the product are 64 channels, columns the
// positions of a part, a step's inner index 64 bytes of entries, of each four of which P has two at most. Text behind
// wgmma_block.cuh, with the same interface as wgmma_dense_lookups.cuh. 16 bits only.
using Sums = float[PART_POSITIONS / 2];

// What a slot's products take besides the slot: which of its entries P has, a word for two steps. The products read its
// registers while they run, which the compiler does not know: end() is called when they are done, and keeps them until then.
struct SlotOperands {
  static constexpr int kPairs = (SLOT_STEPS + 1) / 2;
  u32 place[SLOT_STEPS], metadata[kPairs] = {};
  __device__ __forceinline__ void load(const Record& record, const Part& part, int slot) {
#pragma unroll
    for (int k = 0; k < SLOT_STEPS; ++k) place[k] = record.place(slot * SLOT_STEPS + k);
    const u32* words = record.metadata() + slot * kPairs * BLOCK_CHANNELS * 2 + part.channel * 2 + threadIdx.x % 128;
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) metadata[pair] = words[pair * BLOCK_CHANNELS * 2];
  }
  __device__ __forceinline__ void end() const {
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) keep_register(metadata[pair]);
  }
};

template <int kSelector>
__device__ __forceinline__ void add_step(Sums& sums, const SlotOperands& operands, const Part& part, u32 ring, u32 entries, int slot, int pair) {
  const int k = pair * 2 + kSelector, position = min(part.first, OUTPUT_POSITIONS - PART_POSITIONS);
  SparseProduct<PART_POSITIONS>::add<kSelector>(sums, blocked_operand(ring + k * kStepBytes + part.channel * 16, BLOCK_CHANNELS * 16),
                                                blocked_operand(entries + operands.place[k] + position * 16, kEntryBlockBytes), operands.metadata[pair],
                                                slot + k);
}

// sums += (S P)^T of the steps of a slot, which lies at `ring`; S lies at `entries`. Those of slot 0 are the first.
__device__ __forceinline__ void add_slot(Sums& sums, const SlotOperands& operands, const Part& part, u32 ring, u32 entries, int slot) {
#pragma unroll
  for (int pair = 0; pair < SlotOperands::kPairs; ++pair) {
    add_step<0>(sums, operands, part, ring, entries, slot, pair);
    if (pair * 2 + 1 < SLOT_STEPS) add_step<1>(sums, operands, part, ring, entries, slot, pair);
  }
}

// A part of `tile` by its warpgroup; `staging` is its own, swizzled as the map of y says.
__device__ __forceinline__ void store_outputs(const Sums& sums, const Tile& tile, const Part& part, const Record& record, int group, char* staging,
                                              const TensorMap& map) {
  if (part.first >= OUTPUT_POSITIONS) return;
  constexpr int kBuffers = STAGING_BYTES / kStagedBytes;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  const bool stores = threadIdx.x % 128 == 0;
  const float* biases = record.biases(part.channel + warp * 16 + lane / 4);
  const float low_bias = biases[0], high_bias = biases[8];
  // A lane's row of a block of 8 positions, in the half of the warp's channels that it stores: the swizzle is the same in all blocks.
  const u32 row = shared_address(staging) + lane % 8 * 128 + ((warp * 2 + lane / 8 % 2) ^ lane % 8) * 16;
#pragma unroll
  for (int first = 0; first < PART_POSITIONS; first += 64) {
    const int buffer = first / 64 % kBuffers * kStagedBytes, count = min(64, PART_POSITIONS - first);
    if (stores) wait_stores_read<kBuffers - 1>();
    meet<128>(1 + group);
#pragma unroll
    for (int position = 0; position < count; position += 8) {
      const float* values = sums + (first + position) / 2;
      store_transposed(row + buffer + position * 128, Math::store_pair(values[0] + low_bias, values[1] + low_bias),
                       Math::store_pair(values[2] + high_bias, values[3] + high_bias));
    }
    publish_to_async_units();
    meet<128>(1 + group);
    if (!stores) continue;
    store_rows(map, shared_address(staging) + buffer, tile, part.first + first, count, part.channel);
    commit_stores();
  }
}
