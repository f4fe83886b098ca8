// One step of training: what lcnn_train repeats and lcnn_profile looks into.
#pragma once

#include <torch/optim/optimizer.h>

#include "train/model.h"

namespace lcnn::train {

struct StepResult {
  torch::Tensor outputs;  // [batch, classes or attributes], of the parameters before the step
  double loss = 0;
};

// Forward, loss_of() plus lambda times the sparsity loss, backward, update. Where the loss is not finite there is no update.
// Marks its parts as ranges for profilers.
StepResult training_step(Model& model, torch::optim::Optimizer& optimizer, const torch::Tensor& images, const torch::Tensor& targets,
                         double lambda);

}  // namespace lcnn::train
