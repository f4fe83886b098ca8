// One step of training: what lcnn_train repeats and lcnn_profile looks into.
#pragma once

#include <torch/optim/optimizer.h>

#include "train/loss_scaler.h"
#include "train/model.h"

namespace lcnn::train {

struct StepResult {
  torch::Tensor outputs;  // [batch, classes or attributes], of the parameters before the step
  double loss = 0;
  bool updated = false;  // of training_step: whether there was an update
};

// What a step minimizes, and in which precision.
struct Objective {
  double lambda = 0;                        // of the sparsity loss
  Precision autocast = Precision::fp32;     // fp16, bf16: what convolutions and linear layers compute in
  const LossScaler* loss_scaler = nullptr;  // none: losses are not scaled
};

// Forward, loss_of() plus lambda times the sparsity loss, backward: adds `weight` times their gradient to what the parameters
// have. A step over parts of a batch calls it once a part, whose weight is its share of the batch's images. Marks forward and
// backward as ranges for profilers, as training_step() marks its update.
StepResult add_gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective, double weight);

// Of a whole batch, and then the update. Where the loss or, after scaling, a gradient is not finite there is no update.
StepResult training_step(Model& model, torch::optim::Optimizer& optimizer, LossScaler& loss_scaler, const torch::Tensor& images,
                         const torch::Tensor& targets, double lambda, Precision autocast);

}  // namespace lcnn::train
