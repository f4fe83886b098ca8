// The fused kernel whose stages are both products of warpgroups: text for NVRTC, behind dictionary_tile.cuh, hopper.cuh, the
// constants in capitals and the products. Here is what its stages share; behind it follow wgmma_dense_lookups.cuh or
// wgmma_sparse_lookups.cuh and wgmma_kernel.cuh.
//
// Problem: a block takes tiles of ROWS x COLUMNS output pixels of an image x BLOCK_CHANNELS output channels, always the same
//          channels, one tile after another: X of the next comes and S of it is formed while this one is looked up. Channels last.
// Tile:    X of these pixels and their halo, rows PITCH positions apart, zeros beside the image; S of them; P in a ring of slots.
// Load:    one warp has X copied by tiles, D in pieces, the lookups in one piece; three warps write the lookups as slots of
//          P: few of a slot's elements are not zero, these alone are written, and cleared before its next use.
// Compute: one warpgroup forms S = X D, FORM_TILES * 64 positions at a time as X comes, rounded, into shared memory as
//          [entries][position], so that any tap begins at an address of its own. The others follow it: y = S P over the pairs
//          of taps and STEP_ENTRY_BYTES of entries that any channel of the block looks up.
// Store:   64 positions of a warpgroup, which are whole rows or lie in one, through shared memory by tiled copies of a row each.
using namespace lcnn_device;

using Math = MATH;
using Pair = decltype(Math::store_pair(0, 0));  // of neighbouring elements

struct alignas(64) TensorMap {
  char bytes[128];
};

// Warpgroups: of outputs, then the one that forms S, then a warp that has X and D copied and those that write P.
constexpr int kThreads = (OUTPUT_GROUPS + 2) * 128;
constexpr int kBuilders = 3;
constexpr int kSliceElements = 128 / ELEMENT_BYTES, kStepElements = 32 / ELEMENT_BYTES;
constexpr int kSlices = (IN_CHANNELS + kSliceElements - 1) / kSliceElements;
constexpr int kChannelSteps = (IN_CHANNELS + kStepElements - 1) / kStepElements;
constexpr int kInputPositions = INPUT_ROWS * PITCH, kInputBytes = kInputPositions * 128, kDictionaryBytes = ENTRIES * 128;
constexpr int kInputShift = ROW_SHIFT * PITCH;  // of X's position 0 in S
constexpr int kChunkPositions = CHUNK_ROWS * PITCH, kChunks = INPUT_ROWS / CHUNK_ROWS;
constexpr int kFarthestTap = (KERNEL_H - 1) * DILATION_H * PITCH + (KERNEL_W - 1) * DILATION_W;
// Blocks of 16 bytes of entries of S: those that are formed, and those that its products read.
constexpr int kFormedBlocks = ENTRIES * ELEMENT_BYTES / 16, kEntryBlockBytes = POSITIONS * 16;
constexpr int kEntryBlocks = (ENTRIES * ELEMENT_BYTES + STEP_ENTRY_BYTES - 1) / STEP_ENTRY_BYTES * STEP_ENTRY_BYTES / 16;
constexpr int kStepBytes = BLOCK_CHANNELS * 32, kSlotBytes = SLOT_STEPS * kStepBytes;
constexpr bool kStreamed = STAGES > 0;  // X and D by slices of channels, in a ring
constexpr int kStages = kStreamed ? STAGES : 1;
constexpr int kStageBytes = kInputBytes + kDictionaryBytes;
constexpr int kSetGroups = OUTPUT_GROUPS / SETS;      // warpgroups that sum at once; sets take turns: one stores while the next sums
constexpr int kChannelParts = BLOCK_CHANNELS / PART_CHANNELS, kSetParts = kSetGroups / kChannelParts;
constexpr int kParts = (OUTPUT_POSITIONS + PART_POSITIONS - 1) / PART_POSITIONS, kPasses = (kParts + kSetParts - 1) / kSetParts;
constexpr int kStagedChannels = 128 / ELEMENT_BYTES, kStagedBytes = 64 * 128;  // of 64 positions in the staging area
constexpr int kInputBarriers = kStreamed ? kStages : kChunks;
constexpr int kEntryBytes = kEntryBlocks * kEntryBlockBytes;  // of one of ENTRY_BUFFERS

struct Shared {
  u32 stage, staging, entries, ring, record, barriers;
  __device__ explicit Shared(u32 base)
      : stage(base), staging(base + STAGE_BYTES), entries(staging + OUTPUT_GROUPS * STAGING_BYTES), ring(entries + ENTRY_BUFFERS * kEntryBytes),
        record(ring + RING * kSlotBytes), barriers(record + RECORD_BYTES) {}
  __device__ u32 barrier(int index) const { return barriers + index * 8; }
  __device__ u32 input(int i) const { return barrier(i); }
  __device__ u32 input_free(int i) const { return barrier(kInputBarriers + i); }
  __device__ u32 slot(int i) const { return barrier(2 * kInputBarriers + i); }
  __device__ u32 slot_free(int i) const { return barrier(2 * kInputBarriers + RING + i); }
  __device__ u32 dictionary() const { return barrier(2 * kInputBarriers + 2 * RING); }
  __device__ u32 lookups() const { return barrier(2 * kInputBarriers + 2 * RING + 1); }
  __device__ u32 turn(int set) const { return barrier(2 * kInputBarriers + 2 * RING + 2 + set); }
  __device__ u32 entries_free(int buffer) const { return barrier(2 * kInputBarriers + 2 * RING + 2 + SETS + buffer); }
  __device__ u32 entry_tile(int buffer, int i) const { return barrier(2 * kInputBarriers + 2 * RING + 2 + SETS + ENTRY_BUFFERS + buffer * INPUT_TILES + i); }
};

struct Tile {
  int block, first_row, first_column, image;
  __device__ explicit Tile(int index) : block(blockIdx.x % CHANNEL_BLOCKS) {
    first_column = index % COLUMN_TILES * COLUMNS;
    first_row = index / COLUMN_TILES % ROW_TILES * ROWS;
    image = index / (COLUMN_TILES * ROW_TILES);
  }
  __device__ int input_row() const { return first_row - PADDING_H + ROW_SHIFT; }
  __device__ int input_column() const { return first_column - PADDING_W; }
};

// A block's tiles, numbered from 0 as it takes them, and which buffer of S one lies in.
struct Share {
  int first = blockIdx.x / CHANNEL_BLOCKS, step = gridDim.x / CHANNEL_BLOCKS;
  __device__ int count() const { return (TILES - first + step - 1) / step; }
  __device__ Tile tile(int number) const { return Tile(first + number * step); }
  static __device__ int buffer(int number) { return number % ENTRY_BUFFERS; }
  static __device__ int parity(int number) { return number / ENTRY_BUFFERS & 1; }  // of the buffer's barriers
};

// What a warpgroup sums at once: PART_POSITIONS positions of a tile from `first` on x PART_CHANNELS channels of the block from
// `channel` on.
struct Part {
  int first, channel;
  __device__ Part(int pass, int group)
      : first((pass % kPasses * kSetParts + group % kSetGroups / kChannelParts) * PART_POSITIONS), channel(group % kChannelParts * PART_CHANNELS) {}
};

// The lookups of a block of channels, as wgmma_lookups.h says.
struct Record {
  const u32* words;
  __device__ const float* biases(int channel) const { return reinterpret_cast<const float*>(words + channel); }
  __device__ int slots() const { return words[BLOCK_CHANNELS]; }
  __device__ u32 place(int step) const { return words[BLOCK_CHANNELS + 1 + step]; }
  __device__ int first(int slot) const { return words[BLOCK_CHANNELS + 1 + MOST_SLOTS * SLOT_STEPS + slot]; }
  __device__ const u32* metadata() const { return words + METADATA_WORD; }
  __device__ const u32* lookups() const { return words + LOOKUPS_WORD; }
};

__device__ __forceinline__ void write_lookup(char* slot, u32 lookup, bool clear) { reinterpret_cast<u16*>(slot)[lookup & 0xFFFF] = clear ? 0 : lookup >> 16; }
__device__ __forceinline__ void write_lookup(char* slot, const uint2& lookup, bool clear) { reinterpret_cast<u32*>(slot)[lookup.x] = clear ? 0 : lookup.y; }

// Rows of `tile` in 64 positions of the staging area, from `position` of the tile on, of kStagedChannels channels from `channel`
// of the block on; no more than lie in `count` positions. By one thread.
__device__ __forceinline__ void store_rows(const TensorMap& map, u32 from, const Tile& tile, int position, int count, int channel) {
  constexpr int kRows = PITCH < 64 ? 64 / PITCH : 1;
  const int row = position / PITCH, column = tile.first_column + position % PITCH;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (row + r >= ROWS || r * PITCH >= count) break;
    tiled_store(&map, from + r * PITCH * 128, tile.block * BLOCK_CHANNELS + channel, column, tile.first_row + row + r, tile.image);
  }
}
