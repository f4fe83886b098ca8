// dC from dW: a warp per row of P, one product of a row of dW and an entry of D a lookup. Bound: one read of dW.
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = kThreads / 32;  // of a block

template <typename T, typename F, int kPack>
__global__ void __launch_bounds__(kThreads)
    filter_coefficient_gradient_kernel(std::int64_t rows, int row_packs, const Pack<F, kPack>* __restrict__ grad_filters,
                                       const Pack<T, kPack>* __restrict__ dictionary, const std::int32_t* __restrict__ row_offsets,
                                       const std::int32_t* __restrict__ indices, Sum<T>* __restrict__ grad_coefficients) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRows + threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;
  const Pack<F, kPack>* const gradient = grad_filters + row * row_packs;
  const int last = row_offsets[row + 1];
  for (int i = row_offsets[row]; i < last; ++i) {
    const Pack<T, kPack>* const entry = dictionary + static_cast<std::int64_t>(indices[i]) * row_packs;
    Sum<T> sum = 0;
    for (int column = lane; column < row_packs; column += 32) {
      const Pack<F, kPack> dw = gradient[column];
      const Pack<T, kPack> d = entry[column];
#pragma unroll
      for (int j = 0; j < kPack; ++j) sum += widen(dw.values[j]) * widen(d.values[j]);
    }
    for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_down_sync(0xFFFFFFFFu, sum, lanes);
    if (lane == 0) grad_coefficients[i] = sum;
  }
}

}  // namespace

template <typename T, typename F>
void filter_coefficient_gradient(const FilterMatrix& matrix, const F* grad_filters, const T* dictionary,
                                 const LookupArrays<T>& lookups, Sum<T>* grad_coefficients, const TrainingExecution& execution) {
  with_pack<F>(matrix.columns, {grad_filters, dictionary}, [&]<int kPack>() {
    filter_coefficient_gradient_kernel<T, F, kPack><<<blocks_of(matrix.rows, kRows), kThreads, 0, as_stream(execution.stream)>>>(
        matrix.rows, static_cast<int>(matrix.columns / kPack), reinterpret_cast<const Pack<F, kPack>*>(grad_filters),
        reinterpret_cast<const Pack<T, kPack>*>(dictionary), lookups.row_offsets, lookups.indices, grad_coefficients);
  });
  check_launch("filter_coefficient_gradient_kernel");
}

#define LCNN_INSTANTIATE(T, F)                                                                                         \
  template void filter_coefficient_gradient(const FilterMatrix&, const F*, const T*, const LookupArrays<T>&, Sum<T>*,  \
                                            const TrainingExecution&);
LCNN_FOR_FILTER_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
