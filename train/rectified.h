// ReLU of tensors that nothing else reads.
#pragma once

#include <torch/types.h>

namespace lcnn::train {

// In place where nothing is differentiated: a pass over memory less.
inline torch::Tensor rectified(torch::Tensor x) { return torch::GradMode::is_enabled() ? x.relu() : x.relu_(); }
inline torch::Tensor rectified_sum(torch::Tensor y, const torch::Tensor& x) { return rectified(torch::GradMode::is_enabled() ? y + x : y.add_(x)); }

}  // namespace lcnn::train
