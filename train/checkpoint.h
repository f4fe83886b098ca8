// A training's state as a safetensors file: the network under its own names, "optimizer.<parameter>.<slot>",
// "training.order", "training.correct", "training.random_state", "training.loss_scale" and "training.growth_tracker"; all else in
// the metadata, as JSON where it is no plain number:
//   architecture   what makes the network anew (architecture.h)
//   options        those of lcnn_train
//   epoch          finished epochs;  loss: the validation loss after them
//   normalization  mean and deviation of the images' channels
//   labels         what the outputs are called, and whether each is an attribute of its own; none where classes are numbers
//   progress       where in the training it was written
// Tensors of other names are not read: scripts/convert_checkpoint keeps some for its way back.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "train/model.h"
#include "train/optimizer.h"
#include "train/safetensors.h"

namespace lcnn::train {

// Where a training is: within an epoch after `batches` of its batches.
struct Progress {
  std::int64_t epochs = 0;   // finished
  std::int64_t batches = 0;  // done of the next one
  double loss_sum = 0;       // over the images of these batches
  torch::Tensor correct;     // int64 [1] or [attributes]: images of these batches that were right; undefined before the first
  double loss = std::numeric_limits<double>::infinity();  // validation, of the last epoch
  double best_loss = std::numeric_limits<double>::infinity();
  std::int64_t best_epoch = 0;
  std::int64_t skipped_steps = 0;  // of these batches, by the loss scaler
  NamedTensors loss_scaler;        // its state
  torch::Tensor order;  // int64: the epoch's order of images, on the CPU; undefined before it is drawn
};

struct Checkpoint {
  std::filesystem::path file;
  Architecture architecture;
  std::map<std::string, std::string> options;
  Normalization normalization;
  Progress progress;
  TensorFile content;
};

// Replaces `file` as a whole, with the state of LibTorch's default generator too. Throws std::runtime_error, one line, when it
// cannot be written.
void save_checkpoint(const std::filesystem::path& file, const Architecture& architecture, const Options& options,
                     const Normalization& normalization, const Labels& labels,
                     const Progress& progress, Model& model, torch::optim::Optimizer& optimizer);

// Throws std::runtime_error, one line that names the file, when it is no whole checkpoint.
Checkpoint read_checkpoint(const std::filesystem::path& file);

// Give the network, the optimizer, and LibTorch's default generator the state of a checkpoint. Throw std::runtime_error, one
// line that names the file and the tensor, when that is missing or of another shape. Parameters that are not trained have no state
// in the optimizer; those of the layer that is left out stay as they are.
void restore_model(const Checkpoint& checkpoint, Model& model, const std::string& layer_left_out = "");
void restore_optimizer(const Checkpoint& checkpoint, Model& model, torch::optim::Optimizer& optimizer);
void restore_generator(const Checkpoint& checkpoint);

}  // namespace lcnn::train
