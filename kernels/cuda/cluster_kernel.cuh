// The kernel of one cluster of blocks an image: text for NVRTC, behind dictionary_tile.cuh, lookup_pairs.cuh,
// cluster_memory.cuh and the constants in capitals.
//
// Problem: one image; CLUSTER blocks of it, BLOCK_CHANNELS output channels each.
// Tile:    S of the whole image with its padding in every block's shared memory, [row][entry][PITCH] floats; X in a ring of
//          STAGES chunks of CHUNK channels.
// Load:    bulk copies; a block asks for a slice of each chunk, which comes to every block of the cluster, and for its own
//          entries of D.
// Compute: each block forms S for BLOCK_ENTRY_TILES * 16 entries of all positions on the matrix units, a warp a tile of
//          positions and entries, and stores it into the tile of every block. Then lanes run over columns, a thread holds
//          PIXELS rows of its column; one output channel after the other, its lookups from a table in shared memory.
// Store:   lanes run over columns, so stores are contiguous along rows of y.
using namespace lcnn_device;

using Math = MATH;
using Element = Math::Element;

constexpr int kPlane = HEIGHT * WIDTH, kOutPlane = OUT_HEIGHT * OUT_WIDTH;
constexpr int kPositions = LOADS * VECTOR;  // of a lane
constexpr int kTilePositions = kGroups * kPositions;
constexpr int kEntryTiles = (DICTIONARY + 15) / 16;
constexpr int kFormers = POSITION_TILES * ((BLOCK_ENTRY_TILES + WARP_ENTRY_TILES - 1) / WARP_ENTRY_TILES);  // warps that form S
constexpr int kChunks = (IN_CHANNELS + CHUNK - 1) / CHUNK, kChunkSteps = CHUNK / Math::kStepChannels;
constexpr int kSliceChannels = CHUNK / CLUSTER;
constexpr int kChannelBytes = kPlane * sizeof(Element);
constexpr int kInputWords = CHUNK * kChannelBytes / 16;                   // of a stage; behind them D's
constexpr int kStepWords = BLOCK_ENTRY_TILES * Math::kTerms * 32;         // of D
constexpr int kRowStep = STRIDE_H * DICTIONARY * PITCH;  // floats between the rows of S under two output rows

// Asks for chunk `chunk` of the image at `x` and of D.
__device__ void request(const Element* x, const uint4* dictionary, int chunk, int rank, uint4* stage, Barrier* full) {
  const int channels = min(CHUNK, IN_CHANNELS - chunk * CHUNK), steps = (channels + Math::kStepChannels - 1) / Math::kStepChannels;
  const int entry_tiles = max(0, min(BLOCK_ENTRY_TILES, kEntryTiles - rank * BLOCK_ENTRY_TILES));
  const unsigned step_bytes = entry_tiles * Math::kTerms * 512;
  arrive_expecting(full, channels * kChannelBytes + steps * step_bytes);
  const int first = rank * kSliceChannels, count = min(kSliceChannels, channels - first);
  if (count > 0) {
    const Element* slice = x + static_cast<i64>(chunk * CHUNK + first) * kPlane;
    if constexpr (CLUSTER > 1) copy_to_cluster<CLUSTER>(stage + first * kChannelBytes / 16, slice, count * kChannelBytes, full);
    else copy_to_block(stage, slice, count * kChannelBytes, full);
  }
  if (entry_tiles == 0) return;
  for (int step = 0; step < steps; ++step) {
    const i64 tile = static_cast<i64>(chunk * kChunkSteps + step) * kEntryTiles + rank * BLOCK_ENTRY_TILES;
    copy_to_block(stage + kInputWords + step * kStepWords, dictionary + tile * Math::kTerms * 32, step_bytes, full);
  }
}

// `pairs` hold two lookups each: where in the tile and by how much, twice; those of channel k begin at first_pair[k].
extern "C" __global__ void __launch_bounds__(THREADS)
    cluster_gather(const Element* __restrict__ x, const uint4* __restrict__ dictionary, const uint4* __restrict__ pairs,
                   const int* __restrict__ first_pair, const float* __restrict__ bias, Element* __restrict__ y) {
  extern __shared__ uint4 shared[];
  float* tile = reinterpret_cast<float*>(shared);
  Barrier* full = reinterpret_cast<Barrier*>(shared + TILE_WORDS);  // a chunk is there
  Barrier* empty = full + STAGES;                                   // every block has used it
  uint4* stages = shared + TILE_WORDS + STAGES;
  uint4* list = stages + STAGES * STAGE_WORDS;
  let_next_kernel_begin();
  const int rank = static_cast<int>(cluster_rank()), image = blockIdx.y, first_channel = rank * BLOCK_CHANNELS;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Element* image_x = x + static_cast<i64>(image) * IN_CHANNELS * kPlane;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < STAGES; ++stage) {
      init_barrier(full + stage, 1);
      init_barrier(empty + stage, CLUSTER * kFormers);
    }
    publish_barriers();
  }
  cluster_arrive();
  const int begin = first_pair[first_channel], end = first_pair[first_channel + BLOCK_CHANNELS];
  cluster_wait();  // the barriers of every block are ready
  wait_for_previous_kernel();
  if (threadIdx.x == 0) {
    for (int chunk = 0; chunk < min(STAGES, kChunks); ++chunk) {
      request(image_x, dictionary, chunk, rank, stages + chunk * STAGE_WORDS, full + chunk);
    }
  }
  for (int i = threadIdx.x; i < end - begin; i += THREADS) copy_word(list + i, pairs + begin + i);
  for (int i = threadIdx.x; i < TILE_WORDS; i += THREADS) shared[i] = make_uint4(0, 0, 0, 0);
  cluster_arrive();  // this block's tile is ready to be filled by the others

  const int first_position = warp % POSITION_TILES * kTilePositions, first_tile = warp / POSITION_TILES * WARP_ENTRY_TILES;
  float sums[WARP_ENTRY_TILES][kPositions][4] = {};
  if (warp < kFormers) {
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      const int stage = chunk % STAGES, parity = chunk / STAGES % 2;
      const uint4* stage_words = stages + stage * STAGE_WORDS;
      wait_barrier(full + stage, parity);
      const Element* lane_x[LOADS];
      bool inside[LOADS];
#pragma unroll
      for (int l = 0; l < LOADS; ++l) {
        const int position = first_position + (l * kGroups + lane / 4) * VECTOR;
        inside[l] = position < kPlane;
        lane_x[l] = reinterpret_cast<const Element*>(stage_words) + position;
      }
      multiply<Math, WARP_ENTRY_TILES, LOADS, VECTOR, SharedMemory>(lane_x, inside, min(CHUNK, IN_CHANNELS - chunk * CHUNK), kPlane,
                                                                    stage_words + kInputWords, BLOCK_ENTRY_TILES, first_tile, 0, 1, sums);
      if (chunk + STAGES < kChunks) {
        __syncwarp();
        if (lane < CLUSTER) arrive_in_block(empty + stage, lane);
        if (threadIdx.x == 0) {
          wait_barrier(empty + stage, parity);
          request(image_x, dictionary, chunk + STAGES, rank, stages + stage * STAGE_WORDS, full + stage);
        }
        __syncwarp();
      }
    }
  }
  cluster_wait();  // the tile of every block is ready
  if (warp < kFormers) {
#pragma unroll
    for (int m = 0; m < WARP_ENTRY_TILES; ++m) {
#pragma unroll
      for (int p = 0; p < kPositions; ++p) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int entry = (rank * BLOCK_ENTRY_TILES + first_tile + m) * 16 + accumulator_entry(i);
          const int position = first_position + (p / VECTOR * kGroups + accumulator_group(i)) * VECTOR + p % VECTOR;
          if (first_tile + m >= BLOCK_ENTRY_TILES || entry >= DICTIONARY || position >= kPlane) continue;
          float* at = tile + ((PADDING_H + position / WIDTH) * DICTIONARY + entry) * PITCH + LEAD + position % WIDTH;
#pragma unroll
          for (unsigned block = 0; block < CLUSTER; ++block) store_in_block(at, block, sums[m][p][i]);
        }
      }
    }
  }
  finish_copies();
  __syncwarp();
  cluster_arrive();
  cluster_wait();  // S is complete in every tile

  const int slot = threadIdx.x % (SLOT_WARPS * 32), column = slot % OUT_WIDTH, row = slot / OUT_WIDTH * PIXELS;
  if (row >= OUT_HEIGHT) return;
  const char* pixel = reinterpret_cast<const char*>(tile + row * kRowStep + column * STRIDE_W);
  Element* out = y + static_cast<i64>(image) * OUT_CHANNELS * kOutPlane + row * OUT_WIDTH + column;
  for (int k = first_channel + threadIdx.x / (SLOT_WARPS * 32); k < min(first_channel + BLOCK_CHANNELS, OUT_CHANNELS); k += CHANNEL_GROUPS) {
    float sums[PIXELS];
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) sums[p] = bias[k];
    const int last = first_pair[k + 1] - begin;
#pragma unroll 4
    for (int i = first_pair[k] - begin; i < last; ++i) {
      add_pair<Tf32, kRowStep>(pixel, list[i], sums);  // S is floats in every precision
    }
#pragma unroll
    for (int p = 0; p < PIXELS; ++p) {
      if (row + p < OUT_HEIGHT) out[static_cast<i64>(k) * kOutPlane + p * OUT_WIDTH] = Math::store(sums[p]);
    }
  }
}
