// Gradients that may be used, but not differentiated.
#pragma once

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>

#include <memory>
#include <string>

namespace lcnn {

// The gradients, so that a backward pass through them is refused in the name of that operator.
inline torch::autograd::variable_list refusing_double_backward(const std::string& name, torch::autograd::variable_list gradients) {
  for (at::Tensor& gradient : gradients) {
    if (!gradient.defined()) continue;
    auto refusal = std::make_shared<torch::autograd::DelayedError>(
        name + ": double backward is not supported, its gradients cannot be differentiated", 1);
    gradient = (*refusal)({gradient.detach().requires_grad_()})[0];
  }
  return gradients;
}

}  // namespace lcnn
