// Which rows a run measures: workload x dictionaries x batches x precisions x variants x layouts, then the filter.
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

// Keeps the rows whose name the filter selects, and the baselines of every group that keeps any: what is measured is
// always compared. `filter` is Google Benchmark's: an extended regular expression that is searched for, negated by a
// leading '-'. Throws std::invalid_argument when it is not one.
std::vector<Group> select(std::vector<Group> groups, std::string_view filter);

// Drops groups whose rows are all among `finished`; in the others keeps the baselines and the unfinished rows.
std::vector<Group> without_finished(std::vector<Group> groups, const std::vector<std::string>& finished);

}  // namespace lcnn::bench
