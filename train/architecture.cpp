#include "train/architecture.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/workload.h"

namespace lcnn::train {
namespace {

template <typename Enumeration>
Enumeration named(std::initializer_list<Enumeration> values, const std::string& name) {
  for (const Enumeration value : values) {
    if (to_string(value) == name) return value;
  }
  throw std::runtime_error("its architecture has a " + name + ", which is unknown");
}

using Sizes = std::vector<std::int64_t>;

// The size of a layer's dictionary of that name ("fast", "accurate").
std::int64_t size_of(const std::vector<bench::Dictionary>& dictionaries, std::string_view name) {
  return std::ranges::find(dictionaries, name, &bench::Dictionary::name)->size;
}

// The published ones, of all layers that are convolutions here.
Sizes alexnet_sizes(std::string_view dictionary) {
  Sizes sizes;
  for (const bench::Layer& layer : bench::workload_layers("alexnet", Device::cpu)) {
    sizes.push_back(size_of(layer.dictionaries, dictionary));
  }
  return sizes;
}

// Those of ResNet-18's block types, by output channels, in the order of train/residual_network.cpp.
Sizes residual_sizes(std::string_view dictionary, const std::vector<std::int64_t>& channels, std::size_t blocks, bool projections) {
  const auto size = [&](std::int64_t in, std::int64_t out) {
    return size_of(bench::resnet_dictionaries({.in_channels = in, .out_channels = out}), dictionary);
  };
  Sizes sizes{size(3, channels.front())};
  for (std::size_t stage = 0; stage < channels.size(); ++stage) {
    sizes.insert(sizes.end(), 2 * blocks + (projections && stage > 0 ? 1 : 0), size(channels[stage], channels[stage]));
  }
  return sizes;
}

Sizes resnet18_sizes(std::string_view dictionary) { return residual_sizes(dictionary, {64, 128, 256, 512}, 2, true); }
Sizes resnet20_sizes(std::string_view dictionary) { return residual_sizes(dictionary, {16, 32, 64}, 3, false); }

}  // namespace

std::string_view to_string(ConvolutionKind kind) {
  switch (kind) {
    case ConvolutionKind::conv2d: return "conv2d";
    case ConvolutionKind::pooled: return "pooled";
    case ConvolutionKind::fixed: return "fixed";
  }
  return "?";
}

nlohmann::ordered_json to_json(const Architecture& architecture) {
  nlohmann::ordered_json json{{"model", architecture.model},
                              {"channels", architecture.shape.channels},
                              {"height", architecture.shape.height},
                              {"width", architecture.shape.width},
                              {"classes", architecture.classes},
                              {"convolution", to_string(architecture.convolution)}};
  if (architecture.convolution == ConvolutionKind::conv2d) return json;
  json["granularity"] = to_string(architecture.granularity);
  json["dictionary_sizes"] = architecture.dictionary_sizes;
  if (architecture.convolution == ConvolutionKind::fixed) json["sparsity"] = architecture.sparsity;
  else json["initial_sparsity"] = architecture.initial_sparsity;
  return json;
}

Architecture architecture_from_json(const nlohmann::json& json) {
  Architecture architecture;
  try {
    json.at("model").get_to(architecture.model);
    json.at("channels").get_to(architecture.shape.channels);
    json.at("height").get_to(architecture.shape.height);
    json.at("width").get_to(architecture.shape.width);
    json.at("classes").get_to(architecture.classes);
    architecture.convolution = named({ConvolutionKind::conv2d, ConvolutionKind::pooled, ConvolutionKind::fixed},
                                     json.at("convolution").get<std::string>());
    if (architecture.convolution != ConvolutionKind::conv2d) {
      architecture.granularity =
          named({Granularity::vector, Granularity::filter}, json.at("granularity").get<std::string>());
      json.at("dictionary_sizes").get_to(architecture.dictionary_sizes);
      architecture.sparsity = json.value("sparsity", architecture.sparsity);
      architecture.initial_sparsity = json.value("initial_sparsity", architecture.initial_sparsity);
    }
  } catch (const nlohmann::json::exception&) {
    throw std::runtime_error("its architecture is incomplete");
  }
  const ModelEntry* const entry = find_model(architecture.model);
  if (entry == nullptr) throw std::runtime_error("its architecture is " + architecture.model + ", which is unknown");
  const bool lookups = architecture.convolution != ConvolutionKind::conv2d;
  if (std::min({architecture.shape.channels, architecture.shape.height, architecture.shape.width, architecture.classes}) < 1 ||
      (lookups && architecture.dictionary_sizes.size() != entry->fast.size())) {
    throw std::runtime_error("its architecture has sizes that cannot be");
  }
  return architecture;
}

std::span<const ModelEntry> model_table() {
  static const ModelEntry kTable[] = {
      {"one_layer", "one convolution of 32 channels and a linear layer", 2, {1}, {1}, make_one_layer},
      {"lcnn_pytorch", "LCNN-pytorch's: one convolution of 64 channels without bias and a linear layer", 2, {100}, {100}, make_lcnn_pytorch},
      {"lenet", "LeNet-5 with ReLU and maximum pooling", 12, {1, 3}, {1, 6}, make_lenet},
      {"cnn", "two convolutions of 32 and 64 channels, two linear layers with dropout", 4, {1, 8}, {1, 24}, make_cnn},
      {"alexnet", "AlexNet for images near 224x224, its fully connected layers as convolutions", 63, alexnet_sizes("fast"),
       alexnet_sizes("accurate"), make_alexnet},
      {"resnet18", "ResNet-18 for images near 224x224", 1, resnet18_sizes("fast"), resnet18_sizes("accurate"), make_resnet18},
      {"resnet20", "ResNet-20 for images near 32x32", 1, resnet20_sizes("fast"), resnet20_sizes("accurate"), make_resnet20},
  };
  return kTable;
}

const ModelEntry* find_model(std::string_view name) {
  const auto table = model_table();
  const auto found = std::ranges::find(table, name, &ModelEntry::name);
  return found == table.end() ? nullptr : &*found;
}

std::shared_ptr<Model> make_model(const Architecture& architecture) {
  const ModelEntry& entry = *find_model(architecture.model);
  if (std::min(architecture.shape.height, architecture.shape.width) < entry.least_extent) {
    const auto size = [](std::int64_t height, std::int64_t width) { return std::to_string(height) + "x" + std::to_string(width); };
    throw std::invalid_argument(architecture.model + " takes images of at least " + size(entry.least_extent, entry.least_extent) +
                                ": these are " + size(architecture.shape.height, architecture.shape.width));
  }
  return entry.make(architecture);
}

}  // namespace lcnn::train
