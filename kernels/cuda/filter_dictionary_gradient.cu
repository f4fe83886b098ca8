// dD from dW: a block per dictionary entry, run of columns and split of the entry's lookups.
//
// A warp takes kLookups lookups at a time, whose rows of dW are loads in flight together; the block adds its warps' sums.
// Bound: one read of dW.
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/split_sums.h"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kLookups = 8;

template <typename T, typename F, int kPack>
__global__ void __launch_bounds__(kThreads)
    filter_dictionary_gradient_kernel(int row_packs, const Pack<F, kPack>* __restrict__ grad_filters, TransposedLookups by_entry,
                                      const T* __restrict__ coefficients, SplitResult<Sum<T>> result) {
  __shared__ Sum<T> warp_sums[kWarps][32 * kPack];
  const int e = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int column = blockIdx.z * 32 + lane;  // in packs
  Sum<T> sums[kPack] = {};
  const int last = by_entry.entry_offsets[e + 1];
  for (int first = by_entry.entry_offsets[e] + (blockIdx.y * kWarps + warp) * kLookups; first < last; first += gridDim.y * kWarps * kLookups) {
    int row = 0;
    Sum<T> coefficient = 0;
    if (lane < kLookups && first + lane < last) {
      row = by_entry.rows[first + lane];
      coefficient = widen(coefficients[by_entry.order[first + lane]]);
    }
#pragma unroll
    for (int l = 0; l < kLookups; ++l) {
      const std::int64_t from = static_cast<std::int64_t>(__shfl_sync(0xFFFFFFFFu, row, l)) * row_packs;
      const Sum<T> factor = __shfl_sync(0xFFFFFFFFu, coefficient, l);
      if (first + l >= last || column >= row_packs) continue;
      const Pack<F, kPack> dw = grad_filters[from + column];
#pragma unroll
      for (int j = 0; j < kPack; ++j) sums[j] += factor * widen(dw.values[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < kPack; ++j) warp_sums[warp][lane * kPack + j] = sums[j];
  __syncthreads();
  const int first_column = blockIdx.z * 32 * kPack, columns = row_packs * kPack;
  for (int j = static_cast<int>(threadIdx.x); j < 32 * kPack && first_column + j < columns; j += kThreads) {
    Sum<T> sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += warp_sums[w][j];
    result.put(blockIdx.y, static_cast<std::int64_t>(e) * columns + first_column + j, sum);
  }
}

}  // namespace

template <typename T, typename F>
void filter_dictionary_gradient(const FilterMatrix& matrix, const F* grad_filters, const TransposedLookups& by_entry, const T* coefficients,
                                std::int64_t lookups, Sum<T>* grad_dictionary, const TrainingExecution& execution) {
  with_pack<F>(matrix.columns, {grad_filters}, [&]<int kPack>() {
    const unsigned runs = blocks_of(matrix.columns, 32 * kPack);
    const std::int64_t terms = lookups / matrix.dictionary_size * 32 * kPack;  // of a block, were there one an entry and run
    const SplitSums<Sum<T>> sums(grad_dictionary, matrix.dictionary_size * matrix.columns, matrix.dictionary_size * runs, terms, execution);
    const dim3 grid(static_cast<unsigned>(matrix.dictionary_size), sums.splits(), runs);
    filter_dictionary_gradient_kernel<T, F, kPack><<<grid, kThreads, 0, as_stream(execution.stream)>>>(
        static_cast<int>(matrix.columns / kPack), reinterpret_cast<const Pack<F, kPack>*>(grad_filters), by_entry, coefficients,
        sums.result());
    check_launch("filter_dictionary_gradient_kernel");
    sums.finish();
  });
}

#define LCNN_INSTANTIATE(T, F)                                                                                              \
  template void filter_dictionary_gradient(const FilterMatrix&, const F*, const TransposedLookups&, const T*, std::int64_t,    \
                                           Sum<T>*, const TrainingExecution&);
LCNN_FOR_FILTER_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
