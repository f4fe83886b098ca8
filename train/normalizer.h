// Images as networks take them, the same in training and in prediction.
#pragma once

#include <torch/torch.h>

#include <vector>

#include "train/dataset.h"

namespace lcnn::train {

class Normalizer {
 public:
  Normalizer(const Normalization& normalization, torch::Device device)
      : device_(device), mean_(by_channel(normalization.mean)), deviation_(by_channel(normalization.deviation)) {}

  // float32 on the device of bytes [images, channels, height, width].
  torch::Tensor operator()(const torch::Tensor& bytes) const {
    return bytes.to(device_).to(torch::kFloat).div_(255.0).sub_(mean_).div_(deviation_);
  }

 private:
  torch::Tensor by_channel(const std::vector<double>& values) const {
    return torch::tensor(values, torch::kFloat).view({1, -1, 1, 1}).to(device_);
  }

  torch::Device device_;
  torch::Tensor mean_, deviation_;
};

}  // namespace lcnn::train
