// What defines a network: all that is needed to make it anew before its parameters are read.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/problem.h"
#include "train/dataset.h"

namespace lcnn::train {

class Model;

// conv2d, or LookupConv2d by its training method (variants/lookup_conv2d.h).
enum class ConvolutionKind { conv2d, pooled, fixed };
std::string_view to_string(ConvolutionKind kind);

struct Architecture {
  std::string model;
  ImageShape shape;
  std::int64_t classes = 0;
  ConvolutionKind convolution = ConvolutionKind::conv2d;
  // For LookupConv2d.
  Granularity granularity = Granularity::vector;
  std::vector<std::int64_t> dictionary_sizes;  // of each convolution
  std::int64_t sparsity = 1;                   // fixed: lookups per position, as far as the dictionary has them
  double initial_sparsity = 0.5;               // pooled: the fraction of P that is zero at the start
};

nlohmann::ordered_json to_json(const Architecture& architecture);
// Throws std::runtime_error, one line, for what is no architecture of ours.
Architecture architecture_from_json(const nlohmann::json& json);

struct ModelEntry {
  std::string_view name, summary;
  std::int64_t least_extent;             // of an image, so that every layer has an output
  std::vector<std::int64_t> fast, accurate;  // dictionary sizes of its convolutions: LCNN's two presets
  std::shared_ptr<Model> (*make)(const Architecture& architecture) = nullptr;
};

// Every network that can be trained. A new one is one file, and one line in architecture.cpp's table.
std::span<const ModelEntry> model_table();
// nullptr when there is none of that name.
const ModelEntry* find_model(std::string_view name);

// The network, its parameters freshly drawn from LibTorch's default generator. Throws std::invalid_argument, one line, for
// images that are too small for it or dictionaries that cannot be.
std::shared_ptr<Model> make_model(const Architecture& architecture);

// The networks, one file each.
std::shared_ptr<Model> make_one_layer(const Architecture& architecture);
std::shared_ptr<Model> make_lcnn_pytorch(const Architecture& architecture);
std::shared_ptr<Model> make_lenet(const Architecture& architecture);
std::shared_ptr<Model> make_cnn(const Architecture& architecture);
std::shared_ptr<Model> make_alexnet(const Architecture& architecture);
std::shared_ptr<Model> make_resnet18(const Architecture& architecture);
std::shared_ptr<Model> make_resnet20(const Architecture& architecture);

}  // namespace lcnn::train
