// Lookups of wgmma_gather_kernel.cuh, which stands in front of this text, read from the record. A warp sums kChannels channels at once,
// lanes side by side: a lookup is one address and coefficient for the warp. ITEM_CHANNELS are those of 32 bytes of y.
constexpr int kChannels = 8, kRounds = ITEM_CHANNELS / kChannels;  // that a warp sums at once, and how often before it stores

// sums of kChannels channels from `channel` of the block on, at PIXELS positions 32 apart from `pixel` on. The next lookups are
// read while those at hand are added; behind a channel's last lies the next one's first.
__device__ __forceinline__ void add_lookups(const char* pixel, const Record& record, int channel, float (&sums)[kChannels][PIXELS]) {
  const uint2* lookup = record.lookups() + record.first(channel);
  uint2 next[LOOKUPS_AT_ONCE];
  const uint2* ends[kChannels];
#pragma unroll
  for (int i = 0; i < LOOKUPS_AT_ONCE; ++i) next[i] = lookup[i];
#pragma unroll
  for (int k = 0; k < kChannels; ++k) ends[k] = record.lookups() + record.first(channel + k + 1);
#pragma unroll
  for (int k = 0; k < kChannels; ++k) {
    const float bias = record.bias(channel + k);
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) sums[k][p] = bias;
#pragma unroll 1
    while (lookup < ends[k]) {
      float values[LOOKUPS_AT_ONCE][PIXELS], coefficients[LOOKUPS_AT_ONCE];
      lookup += LOOKUPS_AT_ONCE;
#pragma unroll
      for (int i = 0; i < LOOKUPS_AT_ONCE; ++i) {
        coefficients[i] = __uint_as_float(next[i].y);
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) values[i][p] = *reinterpret_cast<const float*>(pixel + next[i].x + p * 128);
        next[i] = lookup[i];
      }
#pragma unroll
      for (int i = 0; i < LOOKUPS_AT_ONCE; ++i) {
#pragma unroll
        for (int p = 0; p < PIXELS; ++p) sums[k][p] = fmaf(coefficients[i], values[i][p], sums[k][p]);
      }
    }
  }
}

__device__ __forceinline__ void look_up_item(const char* entries, const Record& record, const uint2* offsets, int item, char* to, u32 limit) {
  const int channel = item / POSITION_BLOCKS * ITEM_CHANNELS, first_position = item % POSITION_BLOCKS * PIXELS * 32 + threadIdx.x % 32;
  if (block_of_cluster() * BLOCK_CHANNELS + channel >= OUT_CHANNELS) return;
  Pair pairs[PIXELS][32 / sizeof(Pair)];
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    float sums[kChannels][PIXELS];
    add_lookups(entries + first_position * 4, record, channel + round * kChannels, sums);
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
#pragma unroll
      for (int i = 0; i < kChannels / 2; ++i) pairs[p][round * kChannels / 2 + i] = Math::store_pair(sums[2 * i][p], sums[2 * i + 1][p]);
    }
  }
#pragma unroll
  for (int p = 0; p < PIXELS; ++p) {
    store_words(to + channel * ELEMENT_BYTES, offsets[(first_position + p * 32) / 2], limit, reinterpret_cast<const u32(&)[8]>(pairs[p]));
  }
}
