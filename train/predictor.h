// A trained network that predicts: a checkpoint, a device and a variant.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/problem.h"
#include "kernels/weights.h"
#include "train/architecture.h"
#include "train/loader.h"
#include "train/tile_grid.h"

namespace lcnn::train {

// What a checkpoint says of itself.
struct CheckpointSummary {
  Architecture architecture;
  Labels labels;  // a name for every output
  View view;      // how it sees images
  std::int64_t epoch = 0;              // finished ones
  std::optional<double> loss;          // the validation loss after them; unknown before the first has ended
  bool best = false;                   // no epoch had a lower one
};

// How a LookupConv2d is computed.
struct LayerChoice {
  std::string name, choice;  // what the variant chose
  std::string fallback;      // why `auto` computes it in place of the variant that was asked for; empty: it does not
  double prepare_ms = 0;
};

// What a convolution of the network is made of, and what it costs for one image.
struct InspectedLayer {
  std::string name;
  std::int64_t dictionary_size = 0;  // 0 for Conv2d
  LookupWeights weights;             // of LookupConv2d
  std::int64_t lookup_elements = 0;  // elements of P
  std::int64_t parameters = 0, conv2d_parameters = 0;  // as it is, and as a Conv2d; with bias
  std::int64_t bytes = 0, conv2d_bytes = 0;            // as stored in fp32, with the lookups' indices
  double multiplications = 0, conv2d_multiplications = 0;
  double milliseconds = 0;                 // the median of its runs, over the batch's size
  Tiles dictionary, filters, composition;  // D, W as reconstructed, P; of Conv2d W alone
};

class Predictor {
 public:
  // variant: of the LookupConv2d layers, by name; empty: auto, which also computes those that the variant does not support.
  // threads: 0 takes all cores. Throws std::invalid_argument or
  // std::runtime_error, one line, for what cannot be used, as a variant for a network without LookupConv2d.
  Predictor(const std::filesystem::path& checkpoint, const std::string& variant, Device device, std::int64_t batch, int threads);
  ~Predictor();

  const CheckpointSummary& summary() const;
  // What computes the LookupConv2d layers; empty when there are none.
  const std::string& variant() const;

  // pixels: uint8 [count, channels, height, width], at most `batch` images of the architecture's shape -> [count, outputs]: the
  // probability of each class (softmax) or of each attribute (logistic function). The network always runs on whole batches, so
  // that every layer is prepared once, in the first call.
  std::vector<double> predict(std::span<const std::uint8_t> pixels);

  // Of the network on a batch in the device's memory, over the batch's size: the median over the calls. Preparation, reading and
  // normalization are not in it.
  double milliseconds_per_image() const;
  double prepare_ms() const;
  std::vector<LayerChoice> choices() const;

  // Runs the network `runs` times on a batch of random images, every convolution timed by itself.
  std::vector<InspectedLayer> inspect(std::int64_t runs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lcnn::train
