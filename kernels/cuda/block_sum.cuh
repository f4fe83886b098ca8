// Sums over the threads of a block.
#pragma once

namespace lcnn::cuda {

// Adds each of kCount values over the block. Thread i < kCount returns the i-th sum, other threads 0. All threads call it;
// they may call it again at once.
template <int kThreads, int kCount, typename S>
__device__ S block_sum(S (&values)[kCount]) {
  static_assert(kCount <= kThreads, "each sum needs a thread that returns it");
  __shared__ S warp_sums[kThreads / 32][kCount];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    S sum = values[i];
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_down_sync(0xFFFFFFFFu, sum, lanes);
    if (lane == 0) warp_sums[warp][i] = sum;
  }
  __syncthreads();
  S total = 0;
  if (threadIdx.x < kCount) {
    for (int w = 0; w < kThreads / 32; ++w) total += warp_sums[w][threadIdx.x];
  }
  __syncthreads();
  return total;
}

}  // namespace lcnn::cuda
