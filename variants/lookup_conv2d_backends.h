// What each device computes of lcnn::lookup_conv2d and lcnn::lookup_filters; lookup_conv2d_op.cpp and lookup_filters_op.cpp register it.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>

#include "kernels/problem.h"
#include "kernels/training.h"

namespace lcnn {

// The tensors of one call.
struct LookupOperands {
  const at::Tensor &input, &dictionary, &offsets, &indices, &coefficients;
};

// Which of the gradients of input, dictionary, coefficients and bias are wanted; the others stay undefined.
using GradientMask = std::array<bool, 4>;
using LookupGradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// The problem that the operands describe. Throws c10::ValueError, one line, when shapes, types or devices do not fit.
LookupProblem lookup_problem(const LookupOperands& operands, const std::optional<at::Tensor>& bias,
                             at::IntArrayRef kernel_size, at::IntArrayRef stride, at::IntArrayRef padding,
                             at::IntArrayRef dilation, std::int64_t groups);

// {Y, S}. Operands fit the problem.
std::tuple<at::Tensor, at::Tensor> lookup_forward_cpu(const LookupProblem& problem, const LookupOperands& operands,
                                                      const std::optional<at::Tensor>& bias);
std::tuple<at::Tensor, at::Tensor> lookup_forward_cuda(const LookupProblem& problem, const LookupOperands& operands,
                                                       const std::optional<at::Tensor>& bias);

// From dY and S.
LookupGradients lookup_backward_cpu(const LookupProblem& problem, const LookupOperands& operands,
                                    const at::Tensor& grad_output, const at::Tensor& input_dictionary, GradientMask mask);
LookupGradients lookup_backward_cuda(const LookupProblem& problem, const LookupOperands& operands,
                                     const at::Tensor& grad_output, const at::Tensor& input_dictionary, GradientMask mask);

// The tensors of one call for filters.
struct FilterOperands {
  const at::Tensor &dictionary, &offsets, &indices, &coefficients;
  const at::Tensor &entry_offsets, &entry_rows, &entry_order;  // read on CUDA

  FilterMatrix matrix() const { return {offsets.numel() - 1, dictionary.size(0), dictionary.size(1)}; }
};

// W [rows, columns] in that type: the dictionary's, or, of a float dictionary, Half or BFloat16.
at::Tensor filters_cpu(const FilterOperands& operands, at::ScalarType type);
at::Tensor filters_cuda(const FilterOperands& operands, at::ScalarType type);

// Of dictionary and coefficients, from dW; those that are not wanted stay undefined.
using FilterGradients = std::tuple<at::Tensor, at::Tensor>;
FilterGradients filters_backward_cpu(const FilterOperands& operands, const at::Tensor& grad_filters, std::array<bool, 2> mask);
FilterGradients filters_backward_cuda(const FilterOperands& operands, const at::Tensor& grad_filters, std::array<bool, 2> mask);

// Shapes of S.
inline std::array<std::int64_t, 4> input_dictionary_sizes(const LookupProblem& problem) {
  const Conv2dProblem stage = problem.dictionary_stage();
  return {stage.batch, stage.out_channels, stage.out_height(), stage.out_width()};
}
inline std::array<std::int64_t, 4> output_sizes(const LookupProblem& problem) {
  const Conv2dProblem& conv = problem.conv;
  return {conv.batch, conv.out_channels, conv.out_height(), conv.out_width()};
}

// A gradient that may have been summed in a wider type, in the tensor's; undefined ones stay so.
inline at::Tensor stored_as(const at::Tensor& tensor, const at::Tensor& gradient) {
  return gradient.defined() ? gradient.to(tensor.scalar_type()) : gradient;
}

// An undefined optional tensor counts as none.
inline bool has_tensor(const std::optional<at::Tensor>& tensor) { return tensor.has_value() && tensor->defined(); }

}  // namespace lcnn
