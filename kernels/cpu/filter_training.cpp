// The filters that D and P stand for, and their gradients: the lookup stage of an image whose channels are D's entries, one row of
// an entry's elements, and whose output channels are P's rows.
#include "kernels/cpu/training.h"

namespace lcnn::cpu {
namespace {

LookupProblem as_image(const FilterMatrix& matrix) {
  return {.conv = {.width = matrix.columns, .out_channels = matrix.rows}, .dictionary_size = matrix.dictionary_size};
}

}  // namespace

template <typename T>
void filters(const FilterMatrix& matrix, const T* dictionary, const LookupArrays<T>& lookups, T* filters) {
  lookup_output<T>(as_image(matrix), dictionary, lookups, nullptr, filters);
}

template <typename T>
void filter_coefficient_gradient(const FilterMatrix& matrix, const T* grad_filters, const T* dictionary,
                                 const LookupArrays<T>& lookups, T* grad_coefficients) {
  coefficient_gradient(as_image(matrix), grad_filters, dictionary, lookups, grad_coefficients);
}

template <typename T>
void filter_dictionary_gradient(const FilterMatrix& matrix, const T* grad_filters, const LookupArrays<T>& lookups, T* grad_dictionary) {
  input_dictionary_gradient(as_image(matrix), grad_filters, lookups, grad_dictionary);
}

#define LCNN_INSTANTIATE(T)                                                                                                      \
  template void filters(const FilterMatrix&, const T*, const LookupArrays<T>&, T*);                                              \
  template void filter_coefficient_gradient(const FilterMatrix&, const T*, const T*, const LookupArrays<T>&, T*);                \
  template void filter_dictionary_gradient(const FilterMatrix&, const T*, const LookupArrays<T>&, T*);
LCNN_INSTANTIATE(float)
LCNN_INSTANTIATE(double)
#undef LCNN_INSTANTIATE

}  // namespace lcnn::cpu
