#include "train/loss_scaler.h"

#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <torch/utils.h>

#include <stdexcept>

namespace lcnn::train {
namespace {

constexpr double kInitialScale = 65536, kGrowth = 2, kBackoff = 0.5;
constexpr std::int64_t kGrowthInterval = 2000;  // steps

}  // namespace

LossScaler::LossScaler(bool enabled, torch::Device device)
    : enabled_(enabled), scale_(torch::full({}, kInitialScale, torch::kFloat).to(device)), growth_tracker_(torch::zeros({}, torch::kInt).to(device)) {}

bool LossScaler::unscale(const std::vector<torch::Tensor>& parameters) {
  if (!enabled_) return true;
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  torch::Tensor overflow = torch::zeros_like(scale_);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, overflow, scale_.reciprocal());
  at::_amp_update_scale_(scale_, growth_tracker_, overflow, kGrowth, kBackoff, kGrowthInterval);
  return overflow.item<double>() == 0.0;
}

NamedTensors LossScaler::state() const {
  if (!enabled_) return {};
  return {{"loss_scale", scale_}, {"growth_tracker", growth_tracker_}};
}

void LossScaler::restore(const NamedTensors& state) {
  if (!enabled_) return;
  for (auto& [name, tensor] : this->state()) {
    const auto found = state.find(name);
    if (found == state.end() || found->second.dim() != 0) throw std::runtime_error("it holds no training." + name);
    tensor.copy_(found->second);
  }
}

}  // namespace lcnn::train
