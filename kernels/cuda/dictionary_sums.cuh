// Sums of the warps of a block added up, and constants of kernels chosen at run time: what the kernels of DictionaryStage share.
#pragma once

#include <type_traits>

#include "kernels/cuda/dictionary_tile.cuh"
#include "kernels/problem.h"

namespace lcnn::cuda {

constexpr int kSumWarps = 4;  // that add up what the warps of a block have summed, one accumulator of every product each

template <int kCount>
using SharedSums = float[kSumWarps][4][kCount][32];

// added[j] = sum(j, i) over the kSplit warps of the block, i being the number of this warp. sum(j, i) is a lane's own, to be
// read and written. Returns whether this warp is one that has added.
template <int kSplit, int kCount, typename Sum>
__device__ __forceinline__ bool add_over_warps(SharedSums<kCount>& shared, const Sum& sum, float (&added)[kCount]) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const auto put = [&](int place) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < kCount; ++j) shared[place][i][j][lane] = sum(j, i);
    }
  };
  if constexpr (kSplit > kSumWarps) {
    static_assert(kSplit == 2 * kSumWarps);
    if (warp >= kSumWarps) put(warp - kSumWarps);
    __syncthreads();
    if (warp < kSumWarps) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < kCount; ++j) sum(j, i) += shared[warp][i][j][lane];
      }
    }
    __syncthreads();
  }
  if (warp < kSumWarps) put(warp);
  __syncthreads();
  if (warp >= kSumWarps) return false;
#pragma unroll
  for (int j = 0; j < kCount; ++j) added[j] = shared[0][warp][j][lane] + shared[1][warp][j][lane] + shared[2][warp][j][lane] + shared[3][warp][j][lane];
  return true;
}

// Calls function(integral_constant) with the runtime value, which must be among kValues.
template <int... kValues, typename Function>
void with_constant(int value, Function&& function) {
  (void)((value == kValues && (function(std::integral_constant<int, kValues>{}), true)) || ...);
}

// Calls function(Math{}) with what `precision` multiplies.
template <typename Function>
void with_math(Precision precision, Function&& function) {
  switch (precision) {
    case Precision::fp32: return function(lcnn_device::Strict{});
    case Precision::tf32: return function(lcnn_device::Tf32{});
    case Precision::fp16: return function(lcnn_device::Half{});
    case Precision::bf16: return function(lcnn_device::Bfloat{});
  }
}

}  // namespace lcnn::cuda
