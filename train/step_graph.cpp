#include "train/step_graph.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#if LCNN_HAS_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace lcnn::train {

#if LCNN_HAS_CUDA

namespace {

// Work of its scope is on a stream of its own, in order with the caller's before and after it: the default stream cannot be recorded.
class OnStream {
 public:
  explicit OnStream(const c10::cuda::CUDAStream& stream) : caller_(c10::cuda::getCurrentCUDAStream()), stream_(stream) {
    join(caller_, stream_);
    c10::cuda::setCurrentCUDAStream(stream_);
  }
  ~OnStream() {
    c10::cuda::setCurrentCUDAStream(caller_);
    join(stream_, caller_);
  }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;

 private:
  static void join(const c10::cuda::CUDAStream& before, const c10::cuda::CUDAStream& after) {
    at::cuda::CUDAEvent event;
    event.record(before);
    event.block(after);
  }
  const c10::cuda::CUDAStream caller_, stream_;
};

// What LibTorch has of the device and does not count as allocated.
std::int64_t free_bytes() {
  using c10::CachingAllocator::StatType;
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(c10::cuda::current_device());
  const auto all = static_cast<std::size_t>(StatType::AGGREGATE);
  return stats.reserved_bytes[all].current - stats.allocated_bytes[all].current;
}

}  // namespace

struct StepGraph::Recording {
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/true);
  std::int64_t ordinary_steps = 0;
  at::cuda::CUDAGraph graph;
  bool recorded = false;
  double lambda = 0, weight = 0;
  std::int64_t held_bytes = 0;
  // What the graph reads and writes.
  torch::Tensor images, targets;
  StepTensors results;
  std::vector<torch::Tensor> parameters, gradients;

  bool is_of(const torch::Tensor& new_images, const torch::Tensor& new_targets, const Objective& objective, double new_weight) const {
    return new_images.sizes() == images.sizes() && new_targets.sizes() == targets.sizes() && new_targets.dtype() == targets.dtype() &&
           objective.lambda == lambda && new_weight == weight;
  }

  // Counts from the first step of another kind on.
  void begin(const torch::Tensor& new_images, const torch::Tensor& new_targets, const Objective& objective, double new_weight) {
    images = new_images.clone();
    targets = new_targets.clone();
    lambda = objective.lambda;
    weight = new_weight;
    ordinary_steps = 0;
  }

  void record(Model& model, const Objective& objective) {
    const std::int64_t free_before = free_bytes();
    graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);  // threads that load images go on
    try {
      results = enqueue_gradients(model, images, targets, objective, weight);
    } catch (...) {
      graph.capture_end();
      throw;
    }
    graph.capture_end();
    recorded = true;
    held_bytes = std::max<std::int64_t>(free_bytes() - free_before, 0);
    for (const torch::Tensor& parameter : model.parameters()) {
      if (!parameter.grad().defined()) continue;
      parameters.push_back(parameter);
      gradients.push_back(parameter.grad());
    }
  }

  void replay() {
    graph.replay();
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].mutable_grad() = gradients[i];
  }
};

StepGraph::StepGraph() : recording_(std::make_unique<Recording>()) {}

std::int64_t StepGraph::held_bytes() const { return recording_->held_bytes; }

StepResult StepGraph::gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective,
                                double weight) {
  Recording& recording = *recording_;
  const OnStream on_stream(recording.stream);
  for (const torch::Tensor& parameter : model.parameters()) torch::Tensor(parameter).mutable_grad().reset();
  const bool fits = recording.images.defined() && recording.is_of(images, targets, objective, weight);
  if (!fits && !recording.recorded) recording.begin(images, targets, objective, weight);
  if ((!fits && recording.recorded) || recording.ordinary_steps < kOrdinarySteps) {
    ++recording.ordinary_steps;
    return add_gradients(model, images, targets, objective, weight);
  }
  recording.images.copy_(images);
  recording.targets.copy_(targets);
  if (!recording.recorded) recording.record(model, objective);
  recording.replay();
  return result_of(recording.results);
}

#else

struct StepGraph::Recording {};

std::int64_t StepGraph::held_bytes() const { return 0; }

StepGraph::StepGraph() { throw std::invalid_argument("this build has no CUDA, and so no CUDA graphs"); }

StepResult StepGraph::gradients(Model&, const torch::Tensor&, const torch::Tensor&, const Objective&, double) { return {}; }

#endif

StepGraph::~StepGraph() = default;

}  // namespace lcnn::train
