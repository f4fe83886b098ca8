// Which rows a run measures: workload x dictionaries x batches x precisions x variants x layouts, before any filter (bench/selection.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/workload.h"
#include "kernels/variant.h"

namespace lcnn::bench {

struct RowPlan {
  std::string name;
  const Variant* variant = nullptr;
  Layout layout = Layout::nchw;
  std::size_t dictionary = 0;  // index into the layer's dictionaries; 0 for baselines

  bool is_baseline() const { return variant->kind == VariantKind::conv2d; }
};

// Rows that are measured together, alternating: one layer, batch and precision. Baselines come first.
struct Group {
  Layer layer;  // conv.batch is set
  Precision precision = Precision::fp32;
  std::vector<RowPlan> rows;

  // "resnet18/64@56 n32 fp16"
  std::string title() const;
};

struct PlanOptions {
  Device device = Device::cpu;
  std::vector<Layer> layers;
  std::vector<Precision> precisions;
  std::vector<Layout> layouts;
};

// All groups, in the order of the layers, each row once. Throws std::invalid_argument when a layer's problem is not
// valid, or when two different layers have one name.
std::vector<Group> make_plan(const PlanOptions& options);

}  // namespace lcnn::bench
