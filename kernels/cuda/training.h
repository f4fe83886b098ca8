// The layer and its gradients on CUDA, for training: what kernels/training.h defines, piece by piece.
//
// Tensors are contiguous NCHW on the device. T is float, double, __half or __nv_bfloat16 (instantiated for all four);
// gradients of parameters are written as Sum<T>, which everything is summed in. Every function only enqueues on the
// stream, writes all of its result, and throws std::runtime_error on a CUDA error.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/problem.h"
#include "kernels/training.h"
#include "kernels/variant.h"

namespace lcnn::cuda {

template <typename T>
struct SumOf {
  using Type = float;
};
template <>
struct SumOf<double> {
  using Type = double;
};
template <typename T>
using Sum = typename SumOf<T>::Type;

struct TrainingExecution {
  Allocator* allocator = nullptr;  // workspace that lives until the function returns: reused in the stream's order
  void* stream = nullptr;          // cudaStream_t
  bool deterministic = false;      // same input, same bits: partial sums in memory in place of atomic additions
};

// S [batch, dictionary_size, H', W'] = conv(X, D).
template <typename T>
void input_dictionary(const LookupProblem& problem, const T* x, const T* dictionary, T* s, const TrainingExecution& execution);

// Y [batch, out_channels, out_height, out_width] = conv(S, P) + b; `bias` may be null.
template <typename T>
void lookup_output(const LookupProblem& problem, const T* s, const LookupArrays<T>& lookups, const T* bias, T* y,
                   const TrainingExecution& execution);

// dS, from dY.
template <typename T>
void input_dictionary_gradient(const LookupProblem& problem, const T* grad_y, const LookupArrays<T>& lookups, T* grad_s,
                               const TrainingExecution& execution);

// dC [lookups], from dY and S. The coefficients are not read and may be null.
template <typename T>
void coefficient_gradient(const LookupProblem& problem, const T* grad_y, const T* s, const LookupArrays<T>& lookups,
                          Sum<T>* grad_coefficients, const TrainingExecution& execution);

// db [out_channels], from dY.
template <typename T>
void bias_gradient(const LookupProblem& problem, const T* grad_y, Sum<T>* grad_bias, const TrainingExecution& execution);

// dX, from dS.
template <typename T>
void input_gradient(const LookupProblem& problem, const T* grad_s, const T* dictionary, T* grad_x,
                    const TrainingExecution& execution);

// dD, from dS and X.
template <typename T>
void dictionary_gradient(const LookupProblem& problem, const T* grad_s, const T* x, Sum<T>* grad_dictionary,
                         const TrainingExecution& execution);

// Filters are of the parameters' type T, or, of float parameters, __half or __nv_bfloat16: W's type is F.

// W [rows, columns], from D [dictionary_size, columns].
template <typename T, typename F>
void filters(const FilterMatrix& matrix, const T* dictionary, const LookupArrays<T>& lookups, F* filters,
             const TrainingExecution& execution);

// dC [lookups], from dW and D. The coefficients are not read and may be null.
template <typename T, typename F>
void filter_coefficient_gradient(const FilterMatrix& matrix, const F* grad_filters, const T* dictionary,
                                 const LookupArrays<T>& lookups, Sum<T>* grad_coefficients, const TrainingExecution& execution);

// dD [dictionary_size, columns], from dW and the coefficients [lookups].
template <typename T, typename F>
void filter_dictionary_gradient(const FilterMatrix& matrix, const F* grad_filters, const TransposedLookups& by_entry, const T* coefficients,
                                std::int64_t lookups, Sum<T>* grad_dictionary, const TrainingExecution& execution);

}  // namespace lcnn::cuda

// Instantiates `macro` for every type that training stores.
#define LCNN_FOR_TRAINING_TYPES(macro) macro(float) macro(double) macro(__half) macro(__nv_bfloat16)
// Instantiates `macro` for every type of parameters and of filters made of them.
#define LCNN_FOR_FILTER_TYPES(macro)                                                                                    \
  macro(float, float) macro(double, double) macro(__half, __half) macro(__nv_bfloat16, __nv_bfloat16) macro(float, __half) \
      macro(float, __nv_bfloat16)
