// The images and targets of a set as tensors on the device that trains.
#pragma once

#include <span>

#include "train/dataset.h"
#include "train/normalizer.h"
#include "train/objective.h"

namespace lcnn::train {

class Batches {
 public:
  // The set must outlive it.
  Batches(const ImageSet& set, const ImageShape& shape, const Normalization& normalization, torch::Device device)
      : set_(set), shape_(shape), device_(device), targets_(targets_of(set).to(device)), normalized_(normalization, device) {}

  const ImageSet& set() const { return set_; }
  std::int64_t count() const { return set_.count(); }

  // uint8 [images, channels, height, width] on the device, a copy of what a loader gives.
  torch::Tensor bytes(std::span<std::uint8_t> pixels) const {
    const auto count = static_cast<std::int64_t>(pixels.size()) / shape_.elements();
    return torch::from_blob(pixels.data(), {count, shape_.channels, shape_.height, shape_.width}, torch::kByte)
        .to(device_, torch::kByte, /*non_blocking=*/false, /*copy=*/true);
  }
  // float32, as networks take them.
  torch::Tensor images(const torch::Tensor& bytes) const { return normalized_(bytes); }

  // Of the images with these indices, int64 on any device.
  torch::Tensor targets(const torch::Tensor& which) const { return targets_.index_select(0, which.to(device_)); }

 private:
  const ImageSet& set_;
  const ImageShape shape_;
  const torch::Device device_;
  const torch::Tensor targets_;
  const Normalizer normalized_;
};

}  // namespace lcnn::train
