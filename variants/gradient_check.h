// Numerical gradients against autograd's, in double precision: what torch.autograd.gradcheck does, for C++ tests.
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn_like.h>
#include <torch/types.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace lcnn {

// Checks function's gradients by `parameters` (double, requiring gradients) at up to `samples` elements each: empty when
// they agree with central differences, else one line that names the element. `function` reads the parameters.
inline std::string gradient_difference(const std::function<torch::Tensor()>& function,
                                       const std::vector<torch::Tensor>& parameters, std::int64_t samples = 40) {
  constexpr double kStep = 1e-6, kRelative = 1e-6, kAbsolute = 1e-7;
  const torch::Tensor output = function();
  const torch::Tensor direction = torch::randn_like(output);
  const auto gradients = torch::autograd::grad({output}, parameters, {direction});
  const at::AutoGradMode no_graph(false);
  const auto value = [&] { return (function() * direction).sum().item<double>(); };
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    torch::Tensor flat = parameters[p].detach().view(-1);
    const torch::Tensor gradient = gradients[p].reshape(-1);
    const std::int64_t stride = std::max<std::int64_t>(1, flat.numel() / samples);
    for (std::int64_t i = 0; i < flat.numel(); i += stride) {
      const double before = flat[i].item<double>();
      flat[i] = before + kStep;
      const double above = value();
      flat[i] = before - kStep;
      const double below = value();
      flat[i] = before;
      const double expected = (above - below) / (2 * kStep), found = gradient[i].item<double>();
      if (!(std::abs(found - expected) <= kAbsolute * (1 + std::abs(above)) + kRelative * std::abs(expected))) {
        return "parameter " + std::to_string(p) + " element " + std::to_string(i) + ": autograd gives " +
               std::to_string(found) + ", differences " + std::to_string(expected);
      }
    }
  }
  return {};
}

}  // namespace lcnn
