// Lookups of wgmma_gather_block.cuh, which stands in front of this text, read from the record. A warp sums kChannels channels at once,
// lanes side by side: a lookup is one address and coefficient for the warp. ITEM_CHANNELS are those of 32 bytes of y, which two lanes
// store straight to memory: parts of them would be written one by one.
constexpr int kChannels = 8, kRounds = ITEM_CHANNELS / kChannels;  // that a warp sums at once, and how often before it stores
constexpr int kImageElements = OUT_HEIGHT * OUT_WIDTH * OUT_CHANNELS, kLookedUp = POSITION_BLOCKS * PIXELS * 32;  // positions

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

struct Stores {
  const uint2* offsets;
  Element* y;
  __device__ Stores(const char* memory, int, const TensorMap&, Element* output) : offsets(reinterpret_cast<const uint2*>(memory)), y(output) {}
  static __device__ __forceinline__ void prepare(char* memory, int thread) {
    for (int i = thread; i < kLookedUp; i += kThreads - 32) reinterpret_cast<u32*>(memory)[i] = output_offset(i);
  }
  __device__ __forceinline__ void wait() const {}
};

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
    const float bias = record.bias<float>(channel + k);
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

template <typename Formed, typename LookedUp>
__device__ __forceinline__ void look_up_item(const char* entries, const Record& record, const Tile& tile, int item, const Stores& stores, const Formed& formed,
                                             const LookedUp& looked_up) {
  formed();
  const int channel = item / POSITION_BLOCKS * ITEM_CHANNELS, first_position = item % POSITION_BLOCKS * PIXELS * 32 + threadIdx.x % 32;
  const int block_channel = channel_block() * BLOCK_CHANNELS;
  if (block_channel + channel >= OUT_CHANNELS) {
    looked_up();
    return;
  }
  const i64 first = static_cast<i64>(tile.image) * kImageElements + (tile.first_row * OUT_WIDTH + tile.column_tile * COLUMNS) * OUT_CHANNELS;
  // Bytes of y from the tile's first: of as many of its images, or of its rows, as there are.
  const u32 limit = (IMAGES == 1 ? (OUT_HEIGHT - tile.first_row) * OUT_WIDTH * OUT_CHANNELS : min(IMAGES, BATCH - tile.image) * kImageElements) * ELEMENT_BYTES;
  char* to = reinterpret_cast<char*>(stores.y + first + block_channel + channel);
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
  looked_up();
#pragma unroll
  for (int p = 0; p < PIXELS; ++p) {
    store_words(to, stores.offsets[(first_position + p * 32) / 2], limit, reinterpret_cast<const u32(&)[8]>(pairs[p]));
  }
}
