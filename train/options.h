// The command line of lcnn_train.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernels/problem.h"
#include "train/architecture.h"
#include "train/loader.h"
#include "train/schedule.h"

namespace lcnn::train {

enum class OptimizerKind { sgd, adam };

// What a training that starts from a checkpoint holds as it is.
struct Freeze {
  bool dictionary = false, lookups = false;
};

struct Options {
  Architecture architecture;  // without the data set's shape and classes
  std::string dataset, data;  // its name in the table, its folder
  std::int64_t subset = 0;    // training images, the first ones; 0: all
  std::int64_t examples_per_class = 0;  // of these; 0: all
  std::string from;           // a checkpoint to start from; empty: none
  Freeze freeze;
  std::int64_t image_size = 0;  // height and width that a network sees of images in files
  Augmentation augmentation;
  Resize resize = Resize::crop;

  OptimizerKind optimizer = OptimizerKind::sgd;
  Schedule schedule;
  double momentum = 0, weight_decay = 0;
  bool filters = false;  // LookupConv2d is computed by LookupEvaluation::filters, or by stages
  double lambda = 0;  // of the sparsity loss
  double lambda_warmup_epochs = 0;  // it rises linearly from 0 at the start
  Precision autocast = Precision::fp32;  // fp16, bf16: what convolutions and linear layers compute in
  std::int64_t accumulate = 1;  // batches in a step
  std::int64_t epochs = 0, batch = 0, patience = 0;
  std::uint64_t seed = 0;
  int threads = 0;  // 0: all cores
  int loaders = 1;  // threads that make images ready
  std::int64_t timeout = 0;  // seconds that a process waits for the others
  Device device = Device::cpu;

  std::string out;
  bool resume = false;
  bool deterministic = false;  // on a GPU, too
  bool channels_last = false;  // images and weights in memory
  bool graph = false;          // steps as CUDA graphs (train/step_graph.h)

  std::map<std::string, std::string> values;  // every option that a training is defined by, as text, defaults too
  std::set<std::string> given;                // those that stood on the command line
};

// What parsing can end in besides options: the text of --help.
struct HelpRequested {
  std::string text;
};

// Throws std::invalid_argument (one line) for what is not accepted, HelpRequested for --help.
Options parse_options(const std::vector<std::string>& arguments);

// The options of a training that starts from a checkpoint: what defines the network is as in that one (`started` were its
// `values`). Throws std::invalid_argument when something of that is given and differs, or is unknown.
Options transferred_options(const Options& now, const std::map<std::string, std::string>& started);

// The options of a training that is continued: those it was started with (`values` then), but for what may change and is given
// now. Throws std::invalid_argument when something else is given and differs.
Options continued_options(const Options& now, const std::map<std::string, std::string>& started);

}  // namespace lcnn::train
