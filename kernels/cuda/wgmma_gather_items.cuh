// The look-up stage of wgmma_gather, behind wgmma_gather_block.cuh. A warp has items of ITEM_CHANNELS output channels x ITEM_BLOCKS blocks of 32
// positions, lanes side by side: ITEM_LINES lines of S, or a part of one. A lane's sum is of one position, or of one of each half of the tile in 16 bits;
// where a channel has SUMS, they are added up in the end. Lookups follow as code, so that each value of S is loaded once for all channels of an
// item and coefficients are immediates, or as data (wgmma_listed_lookups.cuh). Warps that run side by side take positions of the same channels.
// A warp's outputs go through its own shared memory by tiled copies of BOX_BYTES of channels.

template <int kHalves> struct SumOf { using Type = float; };
template <> struct SumOf<2> { using Type = u32; };
using Sum = SumOf<HALVES>::Type;

using Sums = Sum[ITEM_BLOCKS][SUMS * ITEM_CHANNELS];

// Adds the lookups of channels [group * ITEM_CHANNELS, + ITEM_CHANNELS) of the block into a part of the dictionary; `position` is the address of the
// lane's first in S.
__device__ __forceinline__ void add_lookups(int part, int group, u32 position, const Record& record, Sums& sums);

// Where a block's first position lies in S, from that of the first whose number is a multiple of ITEM_BLOCKS.
__device__ __forceinline__ constexpr int block_position(int block) { return block / LINE_ITEMS * ITEM_LINES * PITCH + block % LINE_ITEMS * ITEM_COLUMNS; }
static_assert(ITEM_BLOCKS % LINE_ITEMS == 0 || LINE_ITEMS % ITEM_BLOCKS == 0);

constexpr int kStoredChannels = BOX_BYTES / ELEMENT_BYTES, kStoredBytes = STORE_BYTES / GATHER_WARPS / STORE_BUFFERS;  // that a warp stores at once
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
  __device__ Stores(char* memory, int warp, const TensorMap& map) : memory_(memory + warp * STORE_BUFFERS * kStoredBytes), map_(&map) {}

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
    const int lane = threadIdx.x % 32, row = ITEM_LINES == 1 ? lane : lane / PITCH * STORE_PITCH + lane % PITCH;
    if (ITEM_LINES > 1 && lane >= ITEM_LINES * PITCH) return;
#pragma unroll
    for (int i = 0; i < BOX_BYTES / 16; ++i) {
      const int channel = box * kStoredChannels + i * kPieceChannels;
      if (channel < ITEM_CHANNELS) *reinterpret_cast<uint4*>(to + row * BOX_BYTES + (i ^ row * BOX_BYTES / 128 % (BOX_BYTES / 16)) * 16) = piece_of(sums, half, channel);
    }
  }

  __device__ __forceinline__ void store_lines(u32 from, const Tile& tile, int half, int channel, int first_line, int column) const {
#pragma unroll
    for (int i = 0; i < ITEM_LINES; ++i) {
      const int line = first_line + i, image = line / IMAGE_ROWS, row = line % IMAGE_ROWS;
      const int y_row = tile.first_row + half * HALF_ROWS + row, y_image = tile.image + half * HALF_IMAGES + image;
      if (row >= ROWS || y_row >= OUT_HEIGHT || image >= IMAGES || y_image >= BATCH) continue;
      tiled_store(map_, from + i * STORE_PITCH * BOX_BYTES, channel, column, tile.column_tile, y_image * OUT_HEIGHT + y_row);
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

// Item `item` of a tile: for each of the DICTIONARY_PARTS it calls `formed` before it reads S and `looked_up` when it has.
template <typename Formed, typename LookedUp>
__device__ __forceinline__ void look_up_item(const char* entries, const Record& record, const Tile& tile, int item, Stores& stores, const Formed& formed, const LookedUp& looked_up) {
  const int group = item / POSITION_ITEMS, first_block = item % POSITION_ITEMS * ITEM_BLOCKS;
  const u32 position = shared_address(entries) + (block_position(first_block) + threadIdx.x % 32) * 4;
  Sums sums;
#pragma unroll
  for (int k = 0; k < SUMS * ITEM_CHANNELS; ++k) {
#pragma unroll
    for (auto& block_sums : sums) block_sums[k] = k < ITEM_CHANNELS ? record.bias<Sum>(group * ITEM_CHANNELS + k) : Sum{};
  }
#pragma unroll 1
  for (int part = 0; part < DICTIONARY_PARTS; ++part) {
    formed();
    add_lookups(part, group, position, record, sums);
    looked_up();
  }
#pragma unroll
  for (int i = 0; i < ITEM_BLOCKS; ++i) {
    const int block = first_block + i;
    add_up<Math>(sums[i]);
    stores.store(sums[i], tile, group * ITEM_CHANNELS, block / LINE_ITEMS * ITEM_LINES, block % LINE_ITEMS * ITEM_COLUMNS);
  }
}
