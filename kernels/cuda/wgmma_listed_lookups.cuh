// add_lookups() of wgmma_gather_items.cuh with lookups as data: the record has a channel's in steps of LOOKUPS_AT_ONCE, whose last is filled up; one is an
// address and a coefficient for the whole warp.

// Where in S, in bytes from a position's, and a float; or in words, and the coefficient, of 16 bits each.
template <int kHalves, typename HalvesMath> struct LookupOf {
  uint2 words;
  __device__ __forceinline__ u32 address(u32 position) const { return position + words.x; }
  __device__ __forceinline__ float add(float value, float sum) const { return fmaf(__uint_as_float(words.y), value, sum); }
};
template <typename HalvesMath> struct LookupOf<2, HalvesMath> {
  u32 word;
  __device__ __forceinline__ u32 address(u32 position) const { return low_half_words_behind(position, word); }
  __device__ __forceinline__ u32 add(u32 value, u32 sum) const { return HalvesMath::multiply_add(high_half_twice(word), value, sum); }
};
using Lookup = LookupOf<HALVES, Math>;

struct alignas(16) Step {
  Lookup lookups[LOOKUPS_AT_ONCE];
  __device__ __forceinline__ void load(u32 address) {
    uint4* words = reinterpret_cast<uint4*>(lookups);
#pragma unroll
    for (int i = 0; i < static_cast<int>(sizeof(Step) / 16); ++i) words[i] = load_shared_words(address + i * 16);
  }
};

// The sums of a channel; where it has SUMS, lookups go to each in turn.
__device__ __forceinline__ void add_step(const Step& step, u32 position, Sum (&sums)[ITEM_BLOCKS][SUMS]) {
  Sum values[LOOKUPS_AT_ONCE][ITEM_BLOCKS];
#pragma unroll
  for (int i = 0; i < LOOKUPS_AT_ONCE; ++i) {
    const u32 address = step.lookups[i].address(position);
#pragma unroll
    for (int block = 0; block < ITEM_BLOCKS; ++block) values[i][block] = load_shared<Sum, 0>(address + block_position(block) * 4);
  }
#pragma unroll
  for (int i = 0; i < LOOKUPS_AT_ONCE; ++i) {
#pragma unroll
    for (int block = 0; block < ITEM_BLOCKS; ++block) sums[block][i % SUMS] = step.lookups[i].add(values[i][block], sums[block][i % SUMS]);
  }
}

// The next step is loaded while the one at hand is added; behind a channel's last lies the next one's first.
__device__ __forceinline__ void add_lookups(int, int group, u32 position, const Record& record, Sums& sums) {
  const int channel = group * ITEM_CHANNELS;
  const u32 steps = shared_address(record.words) + LOOKUPS_BYTE;
  u32 step = steps + record.first(channel) * sizeof(Lookup);
  Step next;
  next.load(step);
#pragma unroll
  for (int k = 0; k < ITEM_CHANNELS; ++k) {
    const u32 end = steps + record.first(channel + k + 1) * sizeof(Lookup);
    Sum some[ITEM_BLOCKS][SUMS];
#pragma unroll
    for (int i = 0; i < ITEM_BLOCKS * SUMS; ++i) some[i / SUMS][i % SUMS] = sums[i / SUMS][i % SUMS * ITEM_CHANNELS + k];
#pragma unroll 1
    while (step < end) {
      const Step own = next;
      step += sizeof(Step);
      next.load(step);
      add_step(own, position, some);
    }
#pragma unroll
    for (int i = 0; i < ITEM_BLOCKS * SUMS; ++i) sums[i / SUMS][i % SUMS * ITEM_CHANNELS + k] = some[i / SUMS][i % SUMS];
  }
}
