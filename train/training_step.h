// One step of training: what lcnn_train repeats and lcnn_profile looks into.
#pragma once

#include <torch/optim/optimizer.h>

#include "train/loss_scaler.h"
#include "train/model.h"

namespace lcnn::train {

struct StepResult {
  torch::Tensor outputs;  // [batch, classes or attributes], of the parameters before the step
  double loss = 0;
};

// What a step minimizes, and in which precision.
struct Objective {
  double lambda = 0;                        // of the sparsity loss
  Precision autocast = Precision::fp32;     // fp16, bf16: what convolutions and linear layers compute in
  const LossScaler* loss_scaler = nullptr;  // none: losses are not scaled
};

// What a step has enqueued.
struct StepTensors {
  torch::Tensor outputs, loss;
};

// Forward, loss_of() plus lambda times the sparsity loss, backward: adds `weight` times their gradient to what the parameters
// have. A step over parts of a batch calls it once a part, whose weight is its share of the batch's images. Marks forward and
// backward as ranges for profilers, as update() marks itself.
StepResult add_gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective, double weight);

// The same in two parts: on CUDA the first one only enqueues, and the second one waits for it.
StepTensors enqueue_gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective, double weight);
StepResult result_of(const StepTensors& enqueued);

// The update by the gradients that are there, where the loss and, after scaling, all of them are finite. Returns whether there was one.
bool update(const StepResult& result, torch::optim::Optimizer& optimizer, LossScaler& loss_scaler);

}  // namespace lcnn::train
