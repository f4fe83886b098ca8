// The layers that are measured: the one home of shapes and dictionaries for benchmarks, tests and training.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/problem.h"

namespace lcnn::bench {

// A dictionary for a layer: a published one by name, or sizes.
struct Dictionary {
  std::string name;  // "fast", "accurate", or "d<size>s<sparsity>"
  std::int64_t size = 0;
  double sparsity = 0;  // average lookups per (output channel, r, c)

  bool operator==(const Dictionary&) const = default;
};

// The name of a dictionary that is given by its sizes: d10s1, d30s0.5.
Dictionary sized_dictionary(std::int64_t size, double sparsity);

// LCNN's dictionaries for a convolution of a residual network: the paper's sizes for ResNet-18's four block types, by output
// channels; the RGB layer takes a full basis of three.
std::vector<Dictionary> resnet_dictionaries(const Conv2dProblem& conv);

struct Layer {
  std::string set;   // "resnet18"
  std::string name;  // "64@56"
  Conv2dProblem conv;
  Granularity granularity = Granularity::vector;
  std::vector<Dictionary> dictionaries;  // those defined for the layer
  std::vector<std::int64_t> batches;     // those the workload asks for

  // "resnet18/64@56"
  std::string path() const { return set + "/" + name; }
};

// What a run without options picks: seed and ResNet-18's four blocks, one batch each, on CUDA in fp32 and fp16.
inline constexpr std::string_view kDefaultWorkload = "default";

// The names that workload_layers accepts.
std::vector<std::string> workload_names();

// The layers of a named workload (design: seed, alexnet, resnet18, vgg16, race, default); `device` decides only the
// batches of `default`. Throws std::invalid_argument for an unknown name.
std::vector<Layer> workload_layers(std::string_view name, Device device);

// The layers of a JSON file: a list of layers, or {"layers": [...]}. Absent fields take Conv2d's defaults, unknown
// fields are refused by name. The set's name is the file's stem. Throws std::invalid_argument, one line that names
// the file, the layer and the field.
std::vector<Layer> layers_from_file(const std::string& path);

}  // namespace lcnn::bench
