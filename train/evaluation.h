// How well a network does on a set.
#pragma once

#include "train/batches.h"
#include "train/loader.h"
#include "train/metrics.h"
#include "train/model.h"
#include "train/process_group.h"

namespace lcnn::train {

// What is added up over images: the loss, and who is right, int64 [1] or [attributes], undefined where there was no image.
struct ScoreSums {
  double loss = 0;
  torch::Tensor correct;
  torch::Tensor class_counts;  // int64 [3, classes or attributes]; undefined where they are not counted

  void add(double loss_sum, const torch::Tensor& correct_images);
};

// Of so many images.
Score score_of(const ScoreSums& sums, std::int64_t images);

// Of the whole set, in float32, with what is counted of each class. Leaves the network in its evaluation mode. Each process of the
// group sees its share of the images; all return the same.
Score evaluate(Model& model, const Batches& batches, const View& view, int loaders, ProcessGroup& group);

}  // namespace lcnn::train
