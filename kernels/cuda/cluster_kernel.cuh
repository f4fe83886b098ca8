// The kernel of one cluster of blocks an image: text for NVRTC, behind dictionary_tile.cuh, lookup_pairs.cuh
// and the constants in capitals.
//
// Problem: one image; CLUSTER blocks of it, BLOCK_CHANNELS output channels each.
// Tile:    S of the whole image with its padding in every block's shared memory, [row][entry][PITCH] floats.
// Load:    each block forms S for its share of the positions on the matrix units, its warps dividing positions, entries and,
//          SPLIT ways, the channels; the parts are added up and stored into the tile of every block of the cluster.
// Compute: lanes run over columns, a thread holds PIXELS rows of its column; one output channel after the other, its
//          lookups from a table in shared memory.
// Store:   lanes run over columns, so stores are contiguous along rows of y.
using namespace lcnn_device;

using Math = MATH;
using Element = Math::Element;

constexpr int kPlane = HEIGHT * WIDTH, kOutPlane = OUT_HEIGHT * OUT_WIDTH;
constexpr int kPositions = LOADS * VECTOR;  // of a lane
constexpr int kTilePositions = kGroups * kPositions, kBlockPositions = POSITION_TILES * kTilePositions;
constexpr int kEntryTiles = (DICTIONARY + 15) / 16, kEntryPasses = (kEntryTiles + WARP_ENTRY_TILES - 1) / WARP_ENTRY_TILES;
constexpr int kRowStep = STRIDE_H * DICTIONARY * PITCH;  // floats between the rows of S under two output rows

// This block's number in its cluster, and where an address of its shared memory is in another block's.
__device__ __forceinline__ unsigned cluster_rank() {
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ __forceinline__ void store_in_block(float* address, unsigned block, float value) {
  const unsigned own = static_cast<unsigned>(__cvta_generic_to_shared(address));
  unsigned there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(own), "r"(block));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(value) : "memory");
}
__device__ __forceinline__ void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory"); }
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// parts [SPLIT][entry][kBlockPositions] = D X for positions first_position .. + kBlockPositions of the image at `x`.
__device__ void form_parts(const Element* x, const uint4* dictionary, int first_position, float* parts) {
  const int lane = threadIdx.x % 32;
  for (int work = threadIdx.x / 32; work < POSITION_TILES * kEntryPasses * SPLIT; work += THREADS / 32) {
    const int split = work % SPLIT, pass = work / SPLIT % kEntryPasses, tile = work / (SPLIT * kEntryPasses);
    const Element* lane_x[LOADS];
    bool inside[LOADS];
#pragma unroll
    for (int l = 0; l < LOADS; ++l) {
      const int position = first_position + tile * kTilePositions + (l * kGroups + lane / 4) * VECTOR;
      inside[l] = position < kPlane;
      lane_x[l] = x + position;
    }
    float sums[WARP_ENTRY_TILES][kPositions][4] = {};
    multiply<Math, WARP_ENTRY_TILES, LOADS, VECTOR>(lane_x, inside, IN_CHANNELS, kPlane, dictionary, kEntryTiles,
                                                    pass * WARP_ENTRY_TILES, split, SPLIT, sums);
#pragma unroll
    for (int m = 0; m < WARP_ENTRY_TILES; ++m) {
#pragma unroll
      for (int p = 0; p < kPositions; ++p) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int entry = (pass * WARP_ENTRY_TILES + m) * 16 + accumulator_entry(i);
          const int position = tile * kTilePositions + (p / VECTOR * kGroups + accumulator_group(i)) * VECTOR + p % VECTOR;
          if (entry < DICTIONARY) parts[(split * DICTIONARY + entry) * kBlockPositions + position] = sums[m][p][i];
        }
      }
    }
  }
}

// The sums of the parts, to every block's tile.
__device__ void share_sums(const float* parts, int first_position, float* tile) {
  for (int i = threadIdx.x; i < DICTIONARY * kBlockPositions; i += THREADS) {
    const int position = first_position + i % kBlockPositions;
    if (position >= kPlane) continue;
    float sum = parts[i];
#pragma unroll
    for (int split = 1; split < SPLIT; ++split) sum += parts[split * DICTIONARY * kBlockPositions + i];
    float* at = tile + ((PADDING_H + position / WIDTH) * DICTIONARY + i / kBlockPositions) * PITCH + LEAD + position % WIDTH;
    for (unsigned block = 0; block < CLUSTER; ++block) store_in_block(at, block, sum);
  }
}

// `pairs` hold two lookups each: where in the tile and by how much, twice; those of channel k begin at first_pair[k].
extern "C" __global__ void __launch_bounds__(THREADS)
    cluster_gather(const Element* __restrict__ x, const uint4* __restrict__ dictionary, const uint4* __restrict__ pairs,
                   const int* __restrict__ first_pair, const float* __restrict__ bias, Element* __restrict__ y) {
  extern __shared__ float4 shared[];
  float* tile = reinterpret_cast<float*>(shared);
  float* parts = reinterpret_cast<float*>(shared + TILE_WORDS);
  uint4* list = reinterpret_cast<uint4*>(shared + TILE_WORDS + PART_WORDS);
  let_next_kernel_begin();
  const int rank = static_cast<int>(cluster_rank()), image = blockIdx.y, first_channel = rank * BLOCK_CHANNELS;
  const int begin = first_pair[first_channel], end = first_pair[first_channel + BLOCK_CHANNELS];
  for (int i = threadIdx.x; i < end - begin; i += THREADS) copy_word(list + i, pairs + begin + i);
  for (int i = threadIdx.x; i < TILE_WORDS; i += THREADS) shared[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  cluster_arrive();  // this block's tile is ready to be filled by the others
  wait_for_previous_kernel();
  const int first_position = rank * kBlockPositions;
  form_parts(x + static_cast<i64>(image) * IN_CHANNELS * kPlane, dictionary, first_position, parts);
  finish_copies();
  __syncthreads();
  cluster_wait();
  share_sums(parts, first_position, tile);
  cluster_arrive();
  cluster_wait();

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
