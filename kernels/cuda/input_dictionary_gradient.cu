// dS = the adjoint of conv(S, P) applied to dY: a block per dictionary entry, phase and run of pixels, no atomics.
//
// Idea:  P is transposed first, to a list of lookups for each entry; then dS gathers as Y does. One block an entry counts
//        the lookups of smaller entries, which is where its list begins, and writes its own in the table's order: the
//        sums have one order, whatever the schedule. It reads the indices twice an entry, from the L2.
//        A pixel of S meets the taps of its phase, its coordinates modulo the stride, alone: the pixels of a block have one
//        phase, and the block drops the lookups of other taps while it decodes them. No pixel divides.
// Bound: one load of dY a lookup and pixel, from the caches.
#include <algorithm>

#include "kernels/cuda/staged_lookups.cuh"
#include "kernels/cuda/training.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kPixels = 4;

// The pixels of S whose coordinates have the same remainders by the stride; some phases lack the last row or column.
struct PhaseGrid {
  int height, width;
};

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

// How far `value` is from the next smaller multiple of `divisor`.
__device__ int remainder_of(int value, int divisor) { return ((value % divisor) + divisor) % divisor; }

template <typename T>
__global__ void __launch_bounds__(kThreads)
    input_dictionary_gradient_kernel(StageShape stage, PhaseGrid grid, unsigned positions, const T* __restrict__ grad_y,
                                     LookupArrays<T> lookups, const int* __restrict__ entry_offsets,
                                     const int* __restrict__ order, T* __restrict__ grad_s) {
  __shared__ StagedLookup<T> staged[kThreads];
  __shared__ int warp_counts[kWarps];
  const int e = blockIdx.y, taps = stage.kernel_h * stage.kernel_w, rows_end = stage.out_channels * taps;
  const int phase_row = blockIdx.z / stage.stride_w, phase_column = blockIdx.z % stage.stride_w;
  const std::int64_t out_plane = static_cast<std::int64_t>(stage.out_height) * stage.out_width;
  const unsigned first = blockIdx.x * (kThreads * kPixels) + threadIdx.x;
  BatchPixel at[kPixels];
  const T* outputs[kPixels];  // of the pixel's image, at its place in the phase's grid
  Sum<T> sums[kPixels] = {};
#pragma unroll
  for (int j = 0; j < kPixels; ++j) {
    at[j] = batch_pixel(min(first + j * kThreads, positions - 1), grid.height, grid.width);
    outputs[j] = grad_y + at[j].image * (stage.out_channels * out_plane) + at[j].row * stage.out_width + at[j].column;
  }
  const int last = entry_offsets[e + 1];
  for (int chunk = entry_offsets[e]; chunk < last; chunk += kThreads) {
    const int place = chunk + static_cast<int>(threadIdx.x);
    StagedLookup<T> mine{};
    bool meets = false;
    if (place < last) {
      const int i = order[place], row = row_of_lookup(lookups.row_offsets, 0, rows_end, i), tap = row % taps;
      const int rows = phase_row - row_shift(stage, tap), columns = phase_column - column_shift(stage, tap);
      meets = remainder_of(rows, stage.stride_h) == 0 && remainder_of(columns, stage.stride_w) == 0;
      mine = {row / taps, rows / stage.stride_h, columns / stage.stride_w, widen(lookups.coefficients[i])};
    }
    const Rank rank = rank_in_block(meets, warp_counts);
    if (meets) staged[rank.before] = mine;
    __syncthreads();
    for (int l = 0; l < rank.total; ++l) {
      const StagedLookup<T> lookup = staged[l];
      const std::int64_t from = lookup.plane * out_plane + lookup.row_shift * stage.out_width + lookup.column_shift;
#pragma unroll
      for (int j = 0; j < kPixels; ++j) {
        if (!inside(at[j].row + lookup.row_shift, stage.out_height) || !inside(at[j].column + lookup.column_shift, stage.out_width)) continue;
        sums[j] += lookup.coefficient * widen(outputs[j][from]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int j = 0; j < kPixels; ++j) {
    const int h = at[j].row * stage.stride_h + phase_row, w = at[j].column * stage.stride_w + phase_column;
    if (first + j * kThreads >= positions || h >= stage.height || w >= stage.width) continue;
    grad_s[((static_cast<std::int64_t>(at[j].image) * stage.in_channels + e) * stage.height + h) * stage.width + w] = narrow<T>(sums[j]);
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
  const PhaseGrid phase{static_cast<int>(blocks_of(stage.height, stage.stride[0])), static_cast<int>(blocks_of(stage.width, stage.stride[1]))};
  const std::int64_t positions = stage.batch * phase.height * phase.width;
  const dim3 grid(blocks_of(positions, kThreads * kPixels), entries, static_cast<unsigned>(stage.stride[0] * stage.stride[1]));
  input_dictionary_gradient_kernel<T><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
      StageShape(stage), phase, static_cast<unsigned>(positions), grad_y, lookups, entry_offsets.as<int>(), order.as<int>(), grad_s);
  check_launch("input_dictionary_gradient_kernel");
}

#define LCNN_INSTANTIATE(T)                                                                                \
  template void input_dictionary_gradient(const LookupProblem&, const T*, const LookupArrays<T>&, T*,      \
                                          const TrainingExecution&);
LCNN_FOR_TRAINING_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
