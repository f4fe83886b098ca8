#include "bench/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace lcnn::bench {
namespace {

Conv2dProblem conv(std::int64_t in, std::int64_t out, std::int64_t size, std::int64_t kernel, std::int64_t stride,
                   std::int64_t padding, bool bias) {
  return {.in_channels = in, .height = size, .width = size, .out_channels = out, .kernel = {kernel, kernel},
          .stride = {stride, stride}, .padding = {padding, padding}, .bias = bias};
}

const std::vector<std::int64_t> kBatches{1, 32, 256};

// The original's comparison (LCNN-pytorch): nn.Conv2d against its filter dictionary.
std::vector<Layer> seed_layers() {
  return {{.set = "seed", .name = "64-128@224", .conv = conv(64, 128, 224, 3, 1, 1, true),
           .granularity = Granularity::filter, .dictionaries = {sized_dictionary(10, 1)}, .batches = {1}}};
}

// Dictionary sizes and densities of P as tf-lcnn published them for AlexNet.
std::vector<Layer> alexnet_layers() {
  struct Row {
    const char* name;
    Conv2dProblem conv;
    std::int64_t fast_size, accurate_size;
    double fast_density, accurate_density;
  };
  const std::array<Row, 7> rows{{{"conv1", conv(3, 64, 224, 11, 4, 2, true), 3, 3, .083, .129},
                                 {"conv2", conv(64, 192, 27, 5, 1, 2, true), 30, 500, .034, .040},
                                 {"conv3", conv(192, 384, 13, 3, 1, 1, true), 30, 500, .008, .029},
                                 {"conv4", conv(384, 256, 13, 3, 1, 1, true), 30, 500, .013, .034},
                                 {"conv5", conv(256, 256, 13, 3, 1, 1, true), 30, 30, .027, .071},
                                 {"fc6", conv(256, 4096, 6, 6, 1, 0, true), 512, 1024, .001, .006},
                                 {"fc7", conv(4096, 4096, 1, 1, 1, 0, true), 512, 1024, .002, .007}}};
  std::vector<Layer> layers;
  for (const Row& row : rows) {
    const auto dictionary = [](const char* name, std::int64_t size, double density) {
      return Dictionary{name, size, static_cast<double>(size) * density};
    };
    layers.push_back({.set = "alexnet", .name = row.name, .conv = row.conv,
                      .dictionaries = {dictionary("fast", row.fast_size, row.fast_density),
                                       dictionary("accurate", row.accurate_size, row.accurate_density)},
                      .batches = kBatches});
  }
  return layers;
}

Layer resnet_layer(const char* set, std::string name, const Conv2dProblem& conv) {
  return {.set = set, .name = std::move(name), .conv = conv, .dictionaries = resnet_dictionaries(conv),
          .batches = kBatches};
}

std::vector<Layer> resnet18_layers() {
  std::vector<Layer> layers{resnet_layer("resnet18", "conv1", conv(3, 64, 224, 7, 2, 3, false))};
  std::int64_t size = 56;
  for (std::int64_t channels = 64; channels <= 512; channels *= 2) {
    if (channels > 64) {
      const std::int64_t before = channels / 2;
      layers.push_back(resnet_layer("resnet18", fmt::format("{}-{}@{}", before, channels, size),
                                    conv(before, channels, size, 3, 2, 1, false)));
      layers.push_back(resnet_layer("resnet18", fmt::format("shortcut{}-{}@{}", before, channels, size),
                                    conv(before, channels, size, 1, 2, 0, false)));
      size /= 2;
    }
    layers.push_back(resnet_layer("resnet18", fmt::format("{}@{}", channels, size),
                                  conv(channels, channels, size, 3, 1, 1, false)));
  }
  return layers;
}

// Dictionaries by output channels, as ResNet-18's.
std::vector<Layer> vgg16_layers() {
  struct Row {
    std::int64_t in, out, size;
  };
  constexpr std::array<Row, 9> kRows{{{3, 64, 224}, {64, 64, 224}, {64, 128, 112}, {128, 128, 112}, {128, 256, 56},
                                      {256, 256, 56}, {256, 512, 28}, {512, 512, 28}, {512, 512, 14}}};
  std::vector<Layer> layers;
  for (const auto& [in, out, size] : kRows) {
    layers.push_back(resnet_layer("vgg16", in == out ? fmt::format("{}@{}", out, size) : fmt::format("{}-{}@{}", in, out, size),
                                  conv(in, out, size, 3, 1, 1, true)));
  }
  return layers;
}

// Layers of other sets, with batches of their own.
struct Pick {
  std::string_view set, layer;
  std::vector<std::int64_t> batches;
};

std::vector<Layer> pick(const std::vector<Pick>& picks) {
  std::vector<Layer> layers;
  for (const Pick& wanted : picks) {
    for (Layer layer : workload_layers(wanted.set, Device::cpu)) {
      if (layer.name != wanted.layer) continue;
      layer.batches = wanted.batches;
      layers.push_back(std::move(layer));
    }
  }
  return layers;
}

std::vector<Layer> race_layers() {
  return pick({{"seed", "64-128@224", {1}}, {"alexnet", "conv2", {32}}, {"alexnet", "conv3", {32}},
               {"alexnet", "conv4", {32}}, {"alexnet", "conv5", {32}}, {"alexnet", "fc6", {32}},
               {"resnet18", "64@56", {32, 256}}, {"resnet18", "128@28", {32, 256}}, {"resnet18", "256@14", {32, 256}},
               {"resnet18", "512@7", {32, 256}}, {"vgg16", "256@56", {32}}});
}

std::vector<Layer> default_layers(Device device) {
  const std::vector<std::int64_t> batch{device == Device::cuda ? 32 : 1};
  return pick({{"seed", "64-128@224", {1}}, {"resnet18", "64@56", batch}, {"resnet18", "128@28", batch},
               {"resnet18", "256@14", batch}, {"resnet18", "512@7", batch}});
}

}  // namespace

Dictionary sized_dictionary(std::int64_t size, double sparsity) {
  return {fmt::format("d{}s{}", size, sparsity), size, sparsity};
}

std::vector<Dictionary> resnet_dictionaries(const Conv2dProblem& conv) {
  if (conv.in_channels == 3) return {{"fast", 3, 1}, {"accurate", 3, 3}};
  return {{"fast", conv.out_channels / 4, 1}, {"accurate", conv.out_channels * 2, 3}};
}

std::vector<std::string> workload_names() {
  return {std::string(kDefaultWorkload), "seed", "alexnet", "resnet18", "vgg16", "race"};
}

std::vector<Layer> workload_layers(std::string_view name, Device device) {
  if (name == kDefaultWorkload) return default_layers(device);
  if (name == "seed") return seed_layers();
  if (name == "alexnet") return alexnet_layers();
  if (name == "resnet18") return resnet18_layers();
  if (name == "vgg16") return vgg16_layers();
  if (name == "race") return race_layers();
  throw std::invalid_argument(fmt::format("workload '{}' is unknown: {} or a JSON file of layers are accepted", name,
                                          fmt::join(workload_names(), ", ")));
}

}  // namespace lcnn::bench
