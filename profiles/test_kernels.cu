#include "profiles/test_kernels.h"

#include <stdexcept>

namespace lcnn::profiles {
namespace {

constexpr int kThreads = 256, kBlocks = 1056;  // eight blocks for each SM of an H100

__global__ void copy(const float4* from, float4* to, std::size_t elements) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += stride) to[i] = from[i];
}

__global__ void bank_conflicts(int rounds, int* sink) {
  __shared__ volatile int memory[32 * 32];
  for (int i = threadIdx.x; i < 32 * 32; i += blockDim.x) memory[i] = i;
  __syncthreads();
  int sum = 0;
  for (int i = 0; i < rounds; ++i) sum += memory[(threadIdx.x % 32) * 32 + i % 32];
  if (sum == -1) *sink = sum;
}

__global__ void pointer_chase(const std::uint32_t* next, int steps, std::uint32_t* sink) {
  std::uint32_t at = blockIdx.x;
  for (int i = 0; i < steps; ++i) at = next[at];
  if (at == 0xFFFFFFFF) *sink = at;
}

__global__ void fma_chains(int rounds, float* sink) {
  float a = threadIdx.x, b = a + 1, c = a + 2, d = a + 3;
  for (int i = 0; i < rounds; ++i) {
    a = fmaf(a, 0.999f, 0.5f);
    b = fmaf(b, 0.999f, 0.5f);
    c = fmaf(c, 0.999f, 0.5f);
    d = fmaf(d, 0.999f, 0.5f);
  }
  if (a + b + c + d == -1) *sink = a;
}

void check_launch() {
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

}  // namespace

void launch_copy(const float4* from, float4* to, std::size_t elements) {
  copy<<<kBlocks, kThreads>>>(from, to, elements);
  check_launch();
}

void launch_bank_conflicts(int rounds, int* sink) {
  bank_conflicts<<<kBlocks, kThreads>>>(rounds, sink);
  check_launch();
}

void launch_pointer_chase(const std::uint32_t* next, int steps, std::uint32_t* sink) {
  pointer_chase<<<kBlocks, 32>>>(next, steps, sink);
  check_launch();
}

void launch_fma_chains(int rounds, float* sink) {
  fma_chains<<<kBlocks, kThreads>>>(rounds, sink);
  check_launch();
}

}  // namespace lcnn::profiles
