// A network that is trained on one batch of random images, step by step: what lcnn_bench times and lcnn_profile looks into.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "train/options.h"

namespace lcnn::train {

// What a network was made for: images, and as many classes as the data sets of such images have.
ImageShape usual_shape(std::string_view model);
std::int64_t usual_classes(const ImageShape& shape);

class SyntheticTraining {
 public:
  // A batch of random images and labels as the options' architecture has them.
  // Throws std::invalid_argument, one line, for what the network cannot take.
  explicit SyntheticTraining(const Options& options);
  ~SyntheticTraining();
  SyntheticTraining(const SyntheticTraining&) = delete;
  SyntheticTraining& operator=(const SyntheticTraining&) = delete;

  // Forward, backward, update; on CUDA the update may still run when it returns. Returns the loss. The first call repeats steps
  // until one has an update (those before found fp16's loss scale) and, with the option `graph`, the graph is recorded.
  double step();
  void synchronize();  // waits for it

  std::int64_t parameters() const;    // numbers that are trained
  std::int64_t lookups() const;       // non-zeros of P in all layers
  std::int64_t weight_bytes() const;  // parameters and buffers
  std::int64_t image_bytes() const;
  std::int64_t graph_bytes() const;  // StepGraph::held_bytes()

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lcnn::train
