// Lookups of wgmma_gather_block.cuh, which stands in front of this text, as code that follows it: each value of S is loaded once for all
// ITEM_CHANNELS channels that look it up, whose sums a lane holds for one position, or for one of each half of the tile as two sums of 16 bits;
// where a channel has SUMS, they are added up in the end. Coefficients are immediates. Warps that run side by side take positions of the same
// channels, so that they share what is fetched of the code.
// A warp's outputs go through its own shared memory by tiled copies: 128 bytes of channels of ITEM_LINES lines of S, or of a part of one.

template <int kHalves> struct SumOf { using Type = float; };
template <> struct SumOf<2> { using Type = u32; };
using Sum = SumOf<HALVES>::Type;

// Generated: adds the lookups of channels [group * ITEM_CHANNELS, + ITEM_CHANNELS) of all blocks' into a part of the dictionary.
__device__ __forceinline__ void add_lookups(int part, int group, u32 position, Sum (&sums)[SUMS * ITEM_CHANNELS]);

constexpr int kStoredChannels = 128 / ELEMENT_BYTES, kStoredBytes = 32 * 128;  // that a warp stores at once
constexpr int kPieceChannels = 16 / ELEMENT_BYTES;

// 16 bytes of channels from `first` on, of half a tile.
__device__ __forceinline__ uint4 piece_of(const float (&sums)[SUMS * ITEM_CHANNELS], int, int first) {
  Pair pairs[16 / sizeof(Pair)];
#pragma unroll
  for (int i = 0; i < kPieceChannels / 2; ++i) pairs[i] = Math::store_pair(sums[first + 2 * i], sums[first + 2 * i + 1]);
  return reinterpret_cast<const uint4&>(pairs);
}
__device__ __forceinline__ uint4 piece_of(const u32 (&sums)[SUMS * ITEM_CHANNELS], int half, int first) {
  u32 words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) words[i] = __byte_perm(sums[first + 2 * i], sums[first + 2 * i + 1], half == 0 ? 0x5410 : 0x7632);
  return make_uint4(words[0], words[1], words[2], words[3]);
}

// A warp's.
class Stores {
 public:
  __device__ Stores(char* memory, int warp, const TensorMap& map, Element*) : memory_(memory + warp * STORE_BUFFERS * kStoredBytes), map_(&map) {}
  static __device__ __forceinline__ void prepare(char*, int) {}

  // Channels of the block from `channel` on, of which ITEM_CHANNELS or as many as there are, at ITEM_LINES lines of S from `line` on.
  __device__ __forceinline__ void store(const Sum (&sums)[SUMS * ITEM_CHANNELS], const Tile& tile, int channel, int line, int column) {
    const int block_channel = channel_block() * BLOCK_CHANNELS, lane = threadIdx.x % 32;
    const int boxes = (min(BLOCK_CHANNELS, OUT_CHANNELS - block_channel) - channel + kStoredChannels - 1) / kStoredChannels;
#pragma unroll
    for (int first = 0; first < HALVES * kBoxes; first += STORE_BUFFERS) {
      if (lane == 0) wait_stores_read<0>();
      __syncwarp();
#pragma unroll
      for (int i = 0; i < STORE_BUFFERS && first + i < HALVES * kBoxes; ++i) {
        const int half = (first + i) / kBoxes, box = (first + i) % kBoxes;
        if (box < boxes) write_box(memory_ + i * kStoredBytes, sums, half, box);
      }
      publish_to_async_units();
      __syncwarp();
      if (lane != 0) continue;
#pragma unroll
      for (int i = 0; i < STORE_BUFFERS && first + i < HALVES * kBoxes; ++i) {
        const int half = (first + i) / kBoxes, box = (first + i) % kBoxes;
        if (box < boxes) store_lines(shared_address(memory_) + i * kStoredBytes, tile, half, block_channel + channel + box * kStoredChannels, line, column);
      }
      commit_stores();
    }
  }
  __device__ __forceinline__ void wait() const {
    if (threadIdx.x % 32 == 0) wait_stores_read<0>();  // what is written is there when the kernel has ended
  }

 private:
  static constexpr int kBoxes = (ITEM_CHANNELS + kStoredChannels - 1) / kStoredChannels;

  // In the order that the map of y swizzles.
  static __device__ __forceinline__ void write_box(char* to, const Sum (&sums)[SUMS * ITEM_CHANNELS], int half, int box) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int channel = box * kStoredChannels + i * kPieceChannels;
      if (channel < ITEM_CHANNELS) *reinterpret_cast<uint4*>(to + lane * 128 + (i ^ lane % 8) * 16) = piece_of(sums, half, channel);
    }
  }

  __device__ __forceinline__ void store_lines(u32 from, const Tile& tile, int half, int channel, int first_line, int column) const {
#pragma unroll
    for (int i = 0; i < ITEM_LINES; ++i) {
      const int line = first_line + i, image = line / IMAGE_ROWS, row = line % IMAGE_ROWS;
      const int y_row = tile.first_row + half * HALF_ROWS + row, y_image = tile.image + half * HALF_IMAGES + image;
      if (row >= ROWS || y_row >= OUT_HEIGHT || image >= IMAGES || y_image >= BATCH) continue;
      tiled_store(map_, from + i * PITCH * 128, channel, column, tile.column_tile, y_image * OUT_HEIGHT + y_row);
    }
  }

  char* memory_;
  const TensorMap* map_;
};

// A channel's sums into the first of them.
template <typename Halves>
__device__ __forceinline__ void add_up(Sum (&sums)[SUMS * ITEM_CHANNELS]) {
  if constexpr (SUMS == 2) {
#pragma unroll
    for (int k = 0; k < ITEM_CHANNELS; ++k) sums[k] = Halves::multiply_add(ONE, sums[ITEM_CHANNELS + k], sums[k]);
  }
}

template <typename Formed, typename LookedUp>
__device__ __forceinline__ void look_up_item(const char* entries, const Record& record, const Tile& tile, int item, Stores& stores, const Formed& formed, const LookedUp& looked_up) {
  constexpr int kGroups = kItems / POSITION_BLOCKS;
  const int group = item / POSITION_BLOCKS, block = item % POSITION_BLOCKS, line = block / LINE_ITEMS * ITEM_LINES, column = block % LINE_ITEMS * ITEM_COLUMNS;
  Sum sums[SUMS * ITEM_CHANNELS];
#pragma unroll
  for (int k = 0; k < SUMS * ITEM_CHANNELS; ++k) sums[k] = k < ITEM_CHANNELS ? record.bias<Sum>(group * ITEM_CHANNELS + k) : Sum{};
#pragma unroll 1
  for (int part = 0; part < DICTIONARY_PARTS; ++part) {
    formed();
    add_lookups(part, channel_block() * kGroups + group, shared_address(entries) + (line * PITCH + column + threadIdx.x % 32) * 4, sums);
    looked_up();
  }
  add_up<Math>(sums);
  stores.store(sums, tile, group * ITEM_CHANNELS, line, column);
}
