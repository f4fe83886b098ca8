// dS = the adjoint of conv(S, P) applied to dY: a block per dictionary entry and run of pixels, no atomics.
//
// Idea:  P is transposed first, to a list of lookups for each entry; then dS gathers as Y does. One block an entry counts
//        the lookups of smaller entries, which is where its list begins, and writes its own in the table's order: the
//        sums have one order, whatever the schedule. It reads the indices twice an entry, from the L2.
// Bound: one load of dY a lookup and pixel, from the caches.
#include <algorithm>

#include "kernels/cuda/staged_lookups.cuh"
#include "kernels/cuda/training.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kPixels = 4;

// This thread's number of set flags before it in the block, and the block's number of them.
struct Rank {
  int before, total;
};

__device__ Rank rank_in_block(bool flag, int* warp_counts) {
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

// order [lookups]: the lookups of entry 0, then of entry 1, ...; entry e's begin at entry_offsets[e].
__global__ void __launch_bounds__(kThreads)
    order_by_entry_kernel(const std::int32_t* __restrict__ indices, int lookups, int* __restrict__ entry_offsets,
                          int* __restrict__ order) {
  __shared__ int warp_counts[kWarps];
  const int e = blockIdx.x;
  int smaller = 0;
  for (int i = static_cast<int>(threadIdx.x); i < lookups; i += kThreads) smaller += indices[i] < e ? 1 : 0;
  for (int lanes = 16; lanes > 0; lanes /= 2) smaller += __shfl_down_sync(0xFFFFFFFFu, smaller, lanes);
  if (threadIdx.x % 32 == 0) warp_counts[threadIdx.x / 32] = smaller;
  __syncthreads();
  int next = 0;
  for (int w = 0; w < kWarps; ++w) next += warp_counts[w];
  __syncthreads();
  if (threadIdx.x == 0) entry_offsets[e] = next;
  if (threadIdx.x == 0 && e + 1 == static_cast<int>(gridDim.x)) entry_offsets[e + 1] = lookups;
  for (int chunk = 0; chunk < lookups; chunk += kThreads) {
    const int i = chunk + static_cast<int>(threadIdx.x);
    const bool mine = i < lookups && indices[i] == e;
    const Rank rank = rank_in_block(mine, warp_counts);
    if (mine) order[next + rank.before] = i;
    next += rank.total;
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    input_dictionary_gradient_kernel(StageShape stage, unsigned positions, const T* __restrict__ grad_y,
                                     LookupArrays<T> lookups, const int* __restrict__ entry_offsets,
                                     const int* __restrict__ order, T* __restrict__ grad_s) {
  __shared__ StagedLookup<T> staged[kThreads];
  const int e = blockIdx.y, taps = stage.kernel_h * stage.kernel_w, rows_end = stage.out_channels * taps;
  const std::int64_t out_plane = static_cast<std::int64_t>(stage.out_height) * stage.out_width;
  const unsigned first = blockIdx.x * (kThreads * kPixels) + threadIdx.x;
  BatchPixel at[kPixels];
  Sum<T> sums[kPixels] = {};
#pragma unroll
  for (int j = 0; j < kPixels; ++j) {
    at[j] = batch_pixel(min(first + j * kThreads, positions - 1), stage.height, stage.width);
  }
  const int last = entry_offsets[e + 1];
  for (int chunk = entry_offsets[e]; chunk < last; chunk += kThreads) {
    const int place = chunk + static_cast<int>(threadIdx.x);
    __syncthreads();
    if (place < last) {
      const int i = order[place], row = row_of_lookup(lookups.row_offsets, 0, rows_end, i), tap = row % taps;
      staged[threadIdx.x] = {row / taps, row_shift(stage, tap), column_shift(stage, tap), widen(lookups.coefficients[i])};
    }
    __syncthreads();
    const int count = min(kThreads, last - chunk);
    for (int l = 0; l < count; ++l) {
      const StagedLookup<T> lookup = staged[l];
#pragma unroll
      for (int j = 0; j < kPixels; ++j) {
        const int p = output_meeting(at[j].row, lookup.row_shift, stage.stride_h, stage.out_height);
        const int q = output_meeting(at[j].column, lookup.column_shift, stage.stride_w, stage.out_width);
        if (p < 0 || q < 0) continue;
        const std::int64_t from = (static_cast<std::int64_t>(at[j].image) * stage.out_channels + lookup.plane) * out_plane;
        sums[j] += lookup.coefficient * widen(grad_y[from + p * stage.out_width + q]);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kPixels; ++j) {
    if (first + j * kThreads >= positions) continue;
    const std::int64_t row = (static_cast<std::int64_t>(at[j].image) * stage.in_channels + e) * stage.height + at[j].row;
    grad_s[row * stage.width + at[j].column] = narrow<T>(sums[j]);
  }
}

}  // namespace

template <typename T>
void input_dictionary_gradient(const LookupProblem& problem, const T* grad_y, const LookupArrays<T>& lookups, T* grad_s,
                               const TrainingExecution& execution) {
  const Conv2dProblem stage = problem.lookup_stage();
  const auto entries = static_cast<unsigned>(stage.in_channels);
  const Buffer entry_offsets(*execution.allocator, (stage.in_channels + 1) * 4, MemoryKind::workspace);
  const Buffer order(*execution.allocator, std::max<std::int64_t>(lookups.lookups, 1) * 4, MemoryKind::workspace);
  order_by_entry_kernel<<<entries, kThreads, 0, as_stream(execution.stream)>>>(
      lookups.indices, static_cast<int>(lookups.lookups), entry_offsets.as<int>(), order.as<int>());
  check_launch("order_by_entry_kernel");
  const std::int64_t positions = stage.batch * stage.height * stage.width;
  const dim3 grid(blocks_of(positions, kThreads * kPixels), entries);
  input_dictionary_gradient_kernel<T><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
      StageShape(stage), static_cast<unsigned>(positions), grad_y, lookups, entry_offsets.as<int>(), order.as<int>(), grad_s);
  check_launch("input_dictionary_gradient_kernel");
}

#define LCNN_INSTANTIATE(T)                                                                                \
  template void input_dictionary_gradient(const LookupProblem&, const T*, const LookupArrays<T>&, T*,      \
                                          const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
