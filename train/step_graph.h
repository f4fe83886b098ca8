// Forward and backward of a training step as one CUDA graph: a network of short kernels is bound by the host that launches them one
// by one, and a graph launches them all at once.
#pragma once

#include <cstdint>
#include <memory>

#include "train/training_step.h"

namespace lcnn::train {

class StepGraph {
 public:
  // For the current CUDA device. Throws std::invalid_argument where the build has no CUDA.
  StepGraph();
  ~StepGraph();
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;

  // As add_gradients(), but that the parameters' gradients are replaced. The first kOrdinarySteps calls with one shape of images are
  // ordinary steps, in which libraries choose their algorithms; the next one records the graph, and it and those after it launch the
  // graph. It holds the model's and the loss scaler's tensors, the lambda and the weight of that call: calls with another shape,
  // lambda or weight are ordinary steps. Outputs are valid until the next call. Randomness (dropout) goes on as it does without.
  // (https://docs.nvidia.com/cuda/cuda-programming-guide, CUDA graphs; capture by LibTorch's at::cuda::CUDAGraph.)
  StepResult gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective, double weight);

  // Memory that the recorded graph keeps to itself between its launches, in bytes: what its steps compute in, without what LibTorch
  // counts as allocated (gradients and outputs).
  std::int64_t held_bytes() const;

  static constexpr std::int64_t kOrdinarySteps = 3;

 private:
  struct Recording;
  std::unique_ptr<Recording> recording_;
};

}  // namespace lcnn::train
