// Lookups of wgmma_gather_kernel.cuh, which stands in front of this text, as code that follows it: each value of S is loaded once for all
// ITEM_CHANNELS channels that look it up, whose sums a lane holds for one position; coefficients are immediates. Warps that run
// side by side take positions of the same channels, so that they share what is fetched of the code.

// Generated: adds the lookups of channels [group * ITEM_CHANNELS, + ITEM_CHANNELS) of the cluster's.
__device__ __forceinline__ void add_lookups(int group, u32 position, float (&sums)[ITEM_CHANNELS]);

__device__ __forceinline__ void look_up_item(const char* entries, const Record& record, const uint2* offsets, int item, char* to, u32 limit) {
  constexpr int kGroups = kItems / POSITION_BLOCKS;
  const int group = item / POSITION_BLOCKS, position = item % POSITION_BLOCKS * 32 + threadIdx.x % 32;
  const int channels = min(BLOCK_CHANNELS, OUT_CHANNELS - block_of_cluster() * BLOCK_CHANNELS) - group * ITEM_CHANNELS;
  float sums[ITEM_CHANNELS];
#pragma unroll
  for (int k = 0; k < ITEM_CHANNELS; ++k) sums[k] = record.bias(group * ITEM_CHANNELS + k);
  add_lookups(block_of_cluster() * kGroups + group, shared_address(entries) + position * 4, sums);
  const uint2 places = offsets[position / 2];
#pragma unroll
  for (int k = 0; k < ITEM_CHANNELS; k += kStoredChannels) {
    if (k >= channels) break;
    Pair pairs[32 / sizeof(Pair)];
#pragma unroll
    for (int i = 0; i < kStoredChannels / 2; ++i) pairs[i] = Math::store_pair(sums[k + 2 * i], sums[k + 2 * i + 1]);
    store_words(to + (group * ITEM_CHANNELS + k) * ELEMENT_BYTES, places, limit, reinterpret_cast<const u32(&)[8]>(pairs));
  }
}
