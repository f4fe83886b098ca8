// W = P D: a thread per row of P and pack of columns. Bound: one write of W; D is read from the caches.
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T, typename F, int kPack>
__global__ void __launch_bounds__(kThreads)
    filters_kernel(std::int64_t packs, int row_packs, const Pack<T, kPack>* __restrict__ dictionary, LookupArrays<T> lookups,
                   Pack<F, kPack>* __restrict__ filters) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= packs) return;
  const std::int64_t row = index / row_packs;
  const int column = static_cast<int>(index % row_packs);
  Sum<T> sums[kPack] = {};
  const int last = lookups.row_offsets[row + 1];
  for (int i = lookups.row_offsets[row]; i < last; ++i) {
    const Pack<T, kPack> entry = dictionary[static_cast<std::int64_t>(lookups.indices[i]) * row_packs + column];
    const Sum<T> coefficient = widen(lookups.coefficients[i]);
#pragma unroll
    for (int j = 0; j < kPack; ++j) sums[j] += coefficient * widen(entry.values[j]);
  }
  Pack<F, kPack> filter;
#pragma unroll
  for (int j = 0; j < kPack; ++j) filter.values[j] = narrow<F>(sums[j]);
  filters[index] = filter;
}

}  // namespace

template <typename T, typename F>
void filters(const FilterMatrix& matrix, const T* dictionary, const LookupArrays<T>& lookups, F* filters,
             const TrainingExecution& execution) {
  with_pack<F>(matrix.columns, {dictionary, filters}, [&]<int kPack>() {
    const std::int64_t row_packs = matrix.columns / kPack, packs = matrix.rows * row_packs;
    filters_kernel<T, F, kPack><<<blocks_of(packs, kThreads), kThreads, 0, as_stream(execution.stream)>>>(
        packs, static_cast<int>(row_packs), reinterpret_cast<const Pack<T, kPack>*>(dictionary), lookups,
        reinterpret_cast<Pack<F, kPack>*>(filters));
  });
  check_launch("filters_kernel");
}

#define LCNN_INSTANTIATE(T, F) \
  template void filters(const FilterMatrix&, const T*, const LookupArrays<T>&, F*, const TrainingExecution&);
LCNN_FOR_FILTER_TYPES(LCNN_INSTANTIATE)

}  // namespace lcnn::cuda
