// Places of the threads of a block that have something to keep.
#pragma once

namespace lcnn::cuda {

// This thread's number of set flags before it in the block, and the block's number of them.
struct Rank {
  int before, total;
};

// All threads call it; they may call it again at once.
template <int kThreads>
__device__ Rank rank_in_block(bool flag) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int warp_counts[kWarps];
  const unsigned votes = __ballot_sync(0xFFFFFFFFu, flag);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane == 0) warp_counts[warp] = __popc(votes);
  __syncthreads();
  Rank rank{__popc(votes & ((1u << lane) - 1u)), 0};
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) rank.before += warp_counts[w];
    rank.total += warp_counts[w];
  }
  __syncthreads();
  return rank;
}

}  // namespace lcnn::cuda
