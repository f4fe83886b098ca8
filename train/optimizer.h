// LibTorch's optimizers, and their state as named tensors.
#pragma once

#include <torch/optim/optimizer.h>

#include <map>
#include <memory>
#include <string>

#include "train/options.h"

namespace lcnn::train {

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Options& options, std::vector<torch::Tensor> parameters);

void set_learning_rate(torch::optim::Optimizer& optimizer, double rate);

using NamedTensors = std::map<std::string, torch::Tensor>;

// What the optimizer keeps for one of its parameters, by LibTorch's names (momentum_buffer; step, exp_avg, exp_avg_sq); empty
// before the first step.
NamedTensors state_of(torch::optim::Optimizer& optimizer, const torch::Tensor& parameter);

// The inverse. Throws std::runtime_error when something is missing or of another shape than the parameter.
void restore_state(torch::optim::Optimizer& optimizer, const torch::Tensor& parameter, const NamedTensors& state);

}  // namespace lcnn::train
