#include "train/optimizer.h"

#include <ATen/ops/_fused_sgd.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>

#include <stdexcept>
#include <utility>

namespace lcnn::train {
namespace {

using torch::optim::AdamParamState;
using torch::optim::SGDParamState;

torch::Tensor matching(const NamedTensors& state, const std::string& name, const torch::Tensor& parameter) {
  const auto found = state.find(name);
  if (found == state.end() || found->second.sizes() != parameter.sizes()) {
    throw std::runtime_error("the optimizer's " + name + " is missing or of another shape");
  }
  return torch::empty_like(parameter).copy_(found->second);
}

// A dense tensor with the strides of another of the same sizes: fused kernels go through memory. Gradients come so, but for axes
// of one element.
torch::Tensor in_layout_of(const torch::Tensor& like, const torch::Tensor& tensor) {
  return tensor.strides() == like.strides() ? tensor : torch::empty_like(like).copy_(tensor);
}

// LibTorch's SGD with its fused kernel: a pass over all parameters in place of four over each one.
class FusedSgd final : public torch::optim::SGD {
 public:
  using torch::optim::SGD::SGD;

  torch::Tensor step(LossClosure closure) override {
    TORCH_CHECK(!closure, "FusedSgd takes no closure");
    const torch::NoGradGuard no_grad;
    for (torch::optim::OptimizerParamGroup& group : param_groups()) {
      const auto& options = static_cast<const torch::optim::SGDOptions&>(group.options());
      const bool has_momentum = options.momentum() != 0;  // without, there is no state
      Lists first, later;
      for (const torch::Tensor& parameter : group.params()) {
        if (!parameter.grad().defined()) continue;
        const bool begins = has_momentum && state_.find(parameter.unsafeGetTensorImpl()) == state_.end();
        Lists& lists = begins ? first : later;
        lists.parameters.push_back(parameter);
        lists.gradients.push_back(in_layout_of(parameter, parameter.grad()));
        if (begins) state_[parameter.unsafeGetTensorImpl()] = begun(parameter);
        if (has_momentum) lists.momentum_buffers.push_back(momentum_buffer(parameter));
      }
      update(first, options, /*is_first_step=*/true);
      update(later, options, /*is_first_step=*/false);
    }
    return {};
  }

 private:
  struct Lists {
    std::vector<torch::Tensor> parameters, gradients, momentum_buffers;
  };

  static std::unique_ptr<SGDParamState> begun(const torch::Tensor& parameter) {
    auto state = std::make_unique<SGDParamState>();
    state->momentum_buffer(torch::empty_like(parameter));  // the first step writes it
    return state;
  }

  const torch::Tensor& momentum_buffer(const torch::Tensor& parameter) const {
    return static_cast<const SGDParamState&>(*state_.at(parameter.unsafeGetTensorImpl())).momentum_buffer();
  }

  static void update(const Lists& lists, const torch::optim::SGDOptions& options, bool is_first_step) {
    if (lists.parameters.empty()) return;
    at::_fused_sgd_(lists.parameters, lists.gradients, lists.momentum_buffers, options.weight_decay(), options.momentum(), options.lr(),
                    options.dampening(), options.nesterov(), /*maximize=*/false, is_first_step);
  }
};

}  // namespace

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const Options& options, std::vector<torch::Tensor> parameters) {
  const double rate = options.schedule.learning_rate;
  if (options.optimizer == OptimizerKind::adam) {
    return std::make_unique<torch::optim::Adam>(std::move(parameters),
                                                torch::optim::AdamOptions(rate).weight_decay(options.weight_decay));
  }
  return std::make_unique<FusedSgd>(
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
