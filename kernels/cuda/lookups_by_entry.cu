// P transposed: a block per dictionary entry, no atomics.
//
// Idea:  a block counts the lookups of smaller entries, which is where its own list begins, and writes its own in the table's
//        order. Bound: it reads the indices twice an entry, from the L2.
#include "kernels/cuda/lookups_by_entry.h"

#include <algorithm>

#include "kernels/cuda/block_rank.cuh"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;

// order [lookups]: the lookups of entry 0, then of entry 1, ...; entry e's begin at entry_offsets[e].
__global__ void __launch_bounds__(kThreads)
    order_by_entry_kernel(const std::int32_t* __restrict__ indices, int lookups, int* __restrict__ entry_offsets,
                          int* __restrict__ order) {
  __shared__ int warp_counts[kThreads / 32];
  const int e = blockIdx.x;
  int smaller = 0;
  for (int i = static_cast<int>(threadIdx.x); i < lookups; i += kThreads) smaller += indices[i] < e ? 1 : 0;
  for (int lanes = 16; lanes > 0; lanes /= 2) smaller += __shfl_down_sync(0xFFFFFFFFu, smaller, lanes);
  if (threadIdx.x % 32 == 0) warp_counts[threadIdx.x / 32] = smaller;
  __syncthreads();
  int next = 0;
  for (int w = 0; w < kThreads / 32; ++w) next += warp_counts[w];
  __syncthreads();
  if (threadIdx.x == 0) entry_offsets[e] = next;
  if (threadIdx.x == 0 && e + 1 == static_cast<int>(gridDim.x)) entry_offsets[e + 1] = lookups;
  for (int chunk = 0; chunk < lookups; chunk += kThreads) {
    const int i = chunk + static_cast<int>(threadIdx.x);
    const bool mine = i < lookups && indices[i] == e;
    const Rank rank = rank_in_block<kThreads>(mine);
    if (mine) order[next + rank.before] = i;
    next += rank.total;
  }
}

}  // namespace

LookupsByEntry::LookupsByEntry(const std::int32_t* indices, std::int64_t lookups, std::int64_t dictionary_size,
                               const TrainingExecution& execution)
    : offsets_(*execution.allocator, (dictionary_size + 1) * 4, MemoryKind::workspace),
      order_(*execution.allocator, std::max<std::int64_t>(lookups, 1) * 4, MemoryKind::workspace) {
  order_by_entry_kernel<<<static_cast<unsigned>(dictionary_size), kThreads, 0, as_stream(execution.stream)>>>(
      indices, static_cast<int>(lookups), offsets_.as<int>(), order_.as<int>());
  check_launch("order_by_entry_kernel");
}

}  // namespace lcnn::cuda
