#include "train/optimizer.h"

#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include <stdexcept>

namespace lcnn::train {
namespace {

using torch::optim::AdamParamState;
using torch::optim::SGDParamState;

torch::Tensor matching(const NamedTensors& state, const std::string& name, const torch::Tensor& parameter) {
  const auto found = state.find(name);
  if (found == state.end() || found->second.sizes() != parameter.sizes()) {
    throw std::runtime_error("the optimizer's " + name + " is missing or of another shape");
  }
  return found->second.to(parameter.device(), parameter.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
}

}  // namespace

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Options& options, std::vector<torch::Tensor> parameters) {
  const double rate = options.schedule.learning_rate;
  if (options.optimizer == OptimizerKind::adam) {
    return std::make_unique<torch::optim::Adam>(std::move(parameters),
                                                torch::optim::AdamOptions(rate).weight_decay(options.weight_decay));
  }
  return std::make_unique<torch::optim::SGD>(
      std::move(parameters), torch::optim::SGDOptions(rate).momentum(options.momentum).weight_decay(options.weight_decay));
}

void set_learning_rate(torch::optim::Optimizer& optimizer, double rate) {
  for (auto& group : optimizer.param_groups()) group.options().set_lr(rate);
}

NamedTensors state_of(torch::optim::Optimizer& optimizer, const torch::Tensor& parameter) {
  const auto found = optimizer.state().find(parameter.unsafeGetTensorImpl());
  if (found == optimizer.state().end()) return {};
  if (const auto* adam = dynamic_cast<const AdamParamState*>(found->second.get())) {
    return {{"step", torch::scalar_tensor(adam->step(), torch::kLong)}, {"exp_avg", adam->exp_avg()}, {"exp_avg_sq", adam->exp_avg_sq()}};
  }
  const auto& sgd = dynamic_cast<const SGDParamState&>(*found->second);
  return sgd.momentum_buffer().defined() ? NamedTensors{{"momentum_buffer", sgd.momentum_buffer()}} : NamedTensors{};
}

void restore_state(torch::optim::Optimizer& optimizer, const torch::Tensor& parameter, const NamedTensors& state) {
  auto& kept = optimizer.state()[parameter.unsafeGetTensorImpl()];
  if (dynamic_cast<torch::optim::Adam*>(&optimizer) != nullptr) {
    const auto step = state.find("step");
    if (step == state.end() || step->second.numel() != 1) throw std::runtime_error("the optimizer's step is missing");
    auto adam = std::make_unique<AdamParamState>();
    adam->step(step->second.item<std::int64_t>());
    adam->exp_avg(matching(state, "exp_avg", parameter));
    adam->exp_avg_sq(matching(state, "exp_avg_sq", parameter));
    kept = std::move(adam);
  } else {
    auto sgd = std::make_unique<SGDParamState>();
    sgd->momentum_buffer(matching(state, "momentum_buffer", parameter));
    kept = std::move(sgd);
  }
}

}  // namespace lcnn::train
