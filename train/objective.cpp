#include "train/objective.h"

#include <torch/nn/functional/loss.h>

namespace lcnn::train {
namespace {

bool are_attributes(const torch::Tensor& targets) { return targets.dim() == 2; }

}  // namespace

torch::Tensor targets_of(const ImageSet& set) {
  if (set.attributes.empty()) return torch::tensor(set.labels, torch::kLong);
  return torch::tensor(set.attributes, torch::kByte).view({set.count(), -1});
}

torch::Tensor loss_of(const torch::Tensor& outputs, const torch::Tensor& targets) {
  if (!are_attributes(targets)) return torch::nn::functional::cross_entropy(outputs, targets);
  return torch::nn::functional::binary_cross_entropy_with_logits(outputs, targets.to(outputs.scalar_type()));
}

torch::Tensor correct_of(const torch::Tensor& outputs, const torch::Tensor& targets) {
  if (!are_attributes(targets)) return outputs.detach().argmax(1).eq(targets).sum().view({1});
  return outputs.detach().gt(0).eq(targets).sum(0);
}

torch::Tensor class_counts_of(const torch::Tensor& outputs, const torch::Tensor& targets) {
  const bool attributes = are_attributes(targets);
  const torch::Tensor actual = attributes ? targets.to(torch::kLong) : at::one_hot(targets, outputs.size(1));
  const torch::Tensor predicted = attributes ? outputs.detach().gt(0).to(torch::kLong) : at::one_hot(outputs.detach().argmax(1), outputs.size(1));
  return torch::stack({actual.sum(0), predicted.sum(0), (actual * predicted).sum(0)});
}

}  // namespace lcnn::train
