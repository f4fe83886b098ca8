// What a network is trained for: the class of each image, or each of its attributes by itself.
#pragma once

#include <torch/types.h>

#include "train/dataset.h"

namespace lcnn::train {

// What outputs are compared with: int64 [images] of classes, or uint8 [images, attributes].
torch::Tensor targets_of(const ImageSet& set);

// The mean over images of the cross entropy, or over images and attributes of the binary cross entropy. outputs: [images,
// classes] before the softmax, or [images, attributes] before the logistic function.
torch::Tensor loss_of(const torch::Tensor& outputs, const torch::Tensor& targets);

// How many images are right: int64 [1] of the likeliest class, or [attributes] of each attribute.
torch::Tensor correct_of(const torch::Tensor& outputs, const torch::Tensor& targets);

// int64 [3, classes or attributes]: the images that have the class or attribute, those that are said to, and those of both.
torch::Tensor class_counts_of(const torch::Tensor& outputs, const torch::Tensor& targets);

}  // namespace lcnn::train
