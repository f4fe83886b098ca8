// What lcnn_infer, and in part lcnn_inspect, say: as text and as JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "train/infer_options.h"
#include "train/predictor.h"

namespace lcnn::train {

struct Prediction {
  std::string image;
  std::optional<std::int64_t> label;     // where it is known, like
  std::vector<std::uint8_t> attributes;  // these, 0 and 1
  std::vector<double> probabilities;  // of each output

  std::int64_t best() const;  // the likeliest class
};

// The checkpoint's line: "Loaded best model from epoch 3 with validation loss: 0.4123".
std::string loaded_line(const CheckpointSummary& summary);

// What fell back, one line: "--variant=shared_tiled: auto computes what it does not support: conv2, conv3 (dilation is not
// supported)"; empty when nothing did.
std::string fallback_line(const std::string& variant, const std::vector<LayerChoice>& layers);
// Says so on the standard error, if anything did.
void warn_of_fallback(const char* program, const Predictor& predictor);

// An image's lines: its name, then every attribute ("5_o_Clock_Shadow: False"), or the `top` likeliest classes with their
// probabilities ("7: 0.9312").
std::string lines_of(const Prediction& prediction, const Labels& labels, std::int64_t top);

// The share of the images with a known class for which that is the likeliest, or for each attribute the share of the images
// with known ones for which that is said; none without any.
std::vector<double> accuracies_of(const std::vector<Prediction>& predictions, const Labels& labels);

// The closing lines: accuracy where it is known, times, what computed the layers.
std::string closing_lines(const std::vector<Prediction>& predictions, const Predictor& predictor, const InferOptions& options);

// All of it.
nlohmann::ordered_json to_json(const std::vector<Prediction>& predictions, const Predictor& predictor, const InferOptions& options);

}  // namespace lcnn::train
