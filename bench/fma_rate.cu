// The rate of fp32 fused multiply-adds from registers: one roof of the roofline.
#include "bench/fma_rate.h"

#include <cuda_runtime.h>

#include "kernels/cuda/check.h"

namespace lcnn::bench {
namespace {

constexpr int kThreads = 256, kChains = 16, kRounds = 4096;

__global__ void __launch_bounds__(kThreads) fma_kernel(float factor, float* out) {
  float sums[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) sums[c] = static_cast<float>(threadIdx.x + c);
  for (int i = 0; i < kRounds; ++i) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) sums[c] = fmaf(sums[c], factor, factor);
  }
  float total = 0.0f;
#pragma unroll
  for (int c = 0; c < kChains; ++c) total += sums[c];
  if (total == 12345.678f) *out = total;  // keeps the loop
}

}  // namespace

double launch_fma_chains(int blocks, float* scratch, void* stream) {
  fma_kernel<<<blocks, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(0.999f, scratch);
  cuda::check_launch("fma_kernel");
  return static_cast<double>(blocks) * kThreads * kChains * kRounds;
}

}  // namespace lcnn::bench
