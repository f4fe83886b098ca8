// The layer and its gradients on the CPU, for training: what kernels/training.h defines, piece by piece.
//
// Tensors are contiguous NCHW, T is float or double (instantiated for both). Every function writes all of its result,
// runs on all OpenMP threads, and gives the same bits for the same number of threads.
#pragma once

#include "kernels/problem.h"
#include "kernels/training.h"

namespace lcnn::cpu {

// S [batch, dictionary_size, H', W'] = conv(X, D).
template <typename T>
void input_dictionary(const LookupProblem& problem, const T* x, const T* dictionary, T* s);

// Y [batch, out_channels, out_height, out_width] = conv(S, P) + b; `bias` may be null.
template <typename T>
void lookup_output(const LookupProblem& problem, const T* s, const LookupArrays<T>& lookups, const T* bias, T* y);

// dS, from dY.
template <typename T>
void input_dictionary_gradient(const LookupProblem& problem, const T* grad_y, const LookupArrays<T>& lookups, T* grad_s);

// dC [lookups], from dY and S. The coefficients are not read and may be null.
template <typename T>
void coefficient_gradient(const LookupProblem& problem, const T* grad_y, const T* s, const LookupArrays<T>& lookups,
                          T* grad_coefficients);

// db [out_channels], from dY.
template <typename T>
void bias_gradient(const LookupProblem& problem, const T* grad_y, T* grad_bias);

// dX, from dS.
template <typename T>
void input_gradient(const LookupProblem& problem, const T* grad_s, const T* dictionary, T* grad_x);

// dD, from dS and X.
template <typename T>
void dictionary_gradient(const LookupProblem& problem, const T* grad_s, const T* x, T* grad_dictionary);

// W [rows, columns], from D [dictionary_size, columns].
template <typename T>
void filters(const FilterMatrix& matrix, const T* dictionary, const LookupArrays<T>& lookups, T* filters);

// dC [lookups], from dW and D. The coefficients are not read and may be null.
template <typename T>
void filter_coefficient_gradient(const FilterMatrix& matrix, const T* grad_filters, const T* dictionary,
                                 const LookupArrays<T>& lookups, T* grad_coefficients);

// dD [dictionary_size, columns], from dW.
template <typename T>
void filter_dictionary_gradient(const FilterMatrix& matrix, const T* grad_filters, const LookupArrays<T>& lookups, T* grad_dictionary);

}  // namespace lcnn::cpu
