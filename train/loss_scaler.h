// Dynamic loss scaling for gradients in fp16, as torch.amp.GradScaler does it and with its constants: the loss is multiplied by a
// scale that halves where gradients overflow, and doubles after 2000 steps in a row without.
#pragma once

#include <torch/types.h>

#include <vector>

#include "train/optimizer.h"

namespace lcnn::train {

class LossScaler {
 public:
  // enabled: otherwise losses and gradients are left alone, and no step is skipped.
  LossScaler(bool enabled, torch::Device device);

  // What to minimize instead of the loss.
  torch::Tensor scaled(const torch::Tensor& loss) const { return enabled_ ? loss * scale_ : loss; }

  // Divides the gradients by the scale and adapts it. Returns whether all were finite: otherwise the step has to be skipped.
  bool unscale(const std::vector<torch::Tensor>& parameters);

  // 1 where not enabled.
  double scale() const { return enabled_ ? scale_.item<double>() : 1.0; }

  // loss_scale and growth_tracker; empty where not enabled. Throws std::runtime_error when one of them is missing or no scalar.
  NamedTensors state() const;
  void restore(const NamedTensors& state);

 private:
  const bool enabled_;
  torch::Tensor scale_, growth_tracker_;
};

}  // namespace lcnn::train
