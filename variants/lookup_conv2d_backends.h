// What each dispatch key of lcnn::lookup_conv2d computes; lookup_conv2d_op.cpp registers them.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <tuple>

#include "kernels/problem.h"

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

// Shapes of S.
inline std::array<std::int64_t, 4> input_dictionary_sizes(const LookupProblem& problem) {
  const Conv2dProblem stage = problem.dictionary_stage();
  return {stage.batch, stage.out_channels, stage.out_height(), stage.out_width()};
}
inline std::array<std::int64_t, 4> output_sizes(const LookupProblem& problem) {
  const Conv2dProblem& conv = problem.conv;
  return {conv.batch, conv.out_channels, conv.out_height(), conv.out_width()};
}

// An undefined optional tensor counts as none.
inline bool has_tensor(const std::optional<at::Tensor>& tensor) { return tensor.has_value() && tensor->defined(); }

}  // namespace lcnn
