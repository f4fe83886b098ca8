// Steps of training as rows: forward, backward and update of a whole network. bench/ knows nothing of networks: a program above it
// offers them (TrainingNetworks).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/comparison.h"
#include "bench/row.h"
#include "bench/session.h"

namespace lcnn::bench {

// One row: "Train/fixed/resnet18/fast/n32/fp32", of Conv2d "Train/conv2d/resnet18/n32/fp32"; ".../graph" of steps whose forward and
// backward are launched as a CUDA graph.
struct TrainingRowPlan {
  std::string name;
  std::string convolution;  // conv2d, the baseline, or a training method of LookupConv2d
  Layout layout = Layout::nchw;
  std::size_t dictionary = 0;  // index into the group's
  bool graph = false;

  bool is_baseline() const { return convolution == "conv2d"; }
};

// Rows that are measured together, alternating: one network, batch and precision. Baselines come first.
struct TrainingGroup {
  std::string network;
  std::int64_t batch = 0;
  Precision precision = Precision::fp32;
  std::vector<Dictionary> dictionaries;  // of size 0: the network's own ones of that name
  std::vector<TrainingRowPlan> rows;

  // "training/resnet18 n32 fp32"
  std::string title() const;
};

// What is kept while a network is trained, in bytes.
struct TrainingMemory {
  std::int64_t weights = 0;  // parameters and buffers
  std::int64_t images = 0;   // one batch
  std::int64_t outputs = 0;  // of it
  std::int64_t graph = 0;    // what a CUDA graph keeps to itself
};

// A network with its optimizer and one batch of random images, ready to be trained.
class TrainingStep {
 public:
  virtual ~TrainingStep() = default;
  // Forward, backward, update on LibTorch's current stream. Throws std::runtime_error when the loss is no longer finite: the
  // update is left out then.
  virtual void run() = 0;
  virtual TrainingProblem problem() const = 0;
  virtual TrainingMemory memory() const = 0;
};

// How LookupConv2d is trained, and in which layouts.
struct TrainingMethod {
  std::string name;
  std::vector<Layout> layouts;
};

struct TrainingRun {
  Device device = Device::cpu;
  std::uint64_t seed = 1;
};

class TrainingNetworks {
 public:
  virtual ~TrainingNetworks() = default;
  virtual std::vector<std::string> names() const = 0;
  virtual std::vector<TrainingMethod> methods() const = 0;
  // The row's step, its parameters drawn from the seed. Throws Unsupported with the reason.
  virtual std::unique_ptr<TrainingStep> prepare(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun& run) const = 0;
  // One step from these parameters on a small batch: the largest relative error of its convolutions' outputs and gradients against
  // float64, and how many elements of outputs and gradients are not finite.
  virtual lcnn::Comparison verify(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun& run) const = 0;
};

// All groups. LookupConv2d is trained in those of `layouts` that its method has. With `graphs` every row is there as a CUDA graph, too.
struct TrainingPlanOptions {
  std::vector<std::int64_t> batches;
  std::vector<Precision> precisions;
  std::vector<Dictionary> dictionaries;
  std::vector<Layout> layouts;
  bool graphs = false;
};
std::vector<TrainingGroup> make_training_plan(const TrainingNetworks& networks, const TrainingPlanOptions& options);

// One Row per TrainingRowPlan of the group, in its order, verified, then timed alternately; otherwise as measure_group.
std::vector<Row> measure_training(Session& session, const TrainingNetworks& networks, const TrainingGroup& group,
                                  const MeasureOptions& options, const Observer& observer);

}  // namespace lcnn::bench
