#include "train/synthetic_training.h"

#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <optional>

#include "train/loss_scaler.h"
#include "train/model.h"
#include "train/optimizer.h"
#include "train/step_graph.h"
#include "train/training_step.h"

namespace lcnn::train {

ImageShape usual_shape(std::string_view model) {
  if (model == "resnet18" || model == "alexnet") return {.channels = 3, .height = 224, .width = 224};
  if (model == "resnet20") return {.channels = 3, .height = 32, .width = 32};
  return {.channels = 1, .height = 28, .width = 28};
}

std::int64_t usual_classes(const ImageShape& shape) { return shape.height > 100 ? 1000 : 10; }  // as ImageNet and the small sets have

struct SyntheticTraining::Parts {
  std::shared_ptr<Model> model;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::optional<LossScaler> loss_scaler;
  std::optional<StepGraph> graph;
  torch::Tensor images, labels;
  double lambda = 0;
  Precision autocast = Precision::fp32;
  bool cuda = false, updated = false, ready = false;
};

SyntheticTraining::SyntheticTraining(const Options& options) : parts_(std::make_unique<Parts>()) {
  torch::manual_seed(options.seed);
  parts_->cuda = options.device == Device::cuda;
  parts_->lambda = options.lambda;
  parts_->autocast = options.autocast;
  const torch::Device device = parts_->cuda ? torch::kCUDA : torch::kCPU;
  const Architecture& architecture = options.architecture;
  parts_->model = make_model(architecture);
  parts_->model->to(device);
  parts_->model->train();
  parts_->model->set_evaluation(options.filters ? LookupEvaluation::filters : LookupEvaluation::stages);
  parts_->images = torch::randn({options.batch, architecture.shape.channels, architecture.shape.height, architecture.shape.width}).to(device);
  parts_->labels = torch::randint(architecture.classes, {options.batch}, torch::kLong).to(device);
  if (options.channels_last) {
    parts_->images = parts_->images.contiguous(torch::MemoryFormat::ChannelsLast);
    parts_->model->to_channels_last();
  }
  parts_->optimizer = make_optimizer(options, parts_->model->parameters());
  parts_->loss_scaler.emplace(options.autocast == Precision::fp16, device);
  if (options.graph) parts_->graph.emplace();
}

SyntheticTraining::~SyntheticTraining() = default;

double SyntheticTraining::step() {
  Parts& parts = *parts_;
  const Objective objective{.lambda = parts.lambda, .autocast = parts.autocast, .loss_scaler = &*parts.loss_scaler};
  StepResult result;
  // The first call's steps until there was an update, and until the graph is recorded.
  for (std::int64_t steps = 0;; ++steps) {
    if (parts.graph) {
      result = parts.graph->gradients(*parts.model, parts.images, parts.labels, objective, 1);
    } else {
      parts.optimizer->zero_grad();
      result = add_gradients(*parts.model, parts.images, parts.labels, objective, 1);
    }
    parts.updated = update(result, *parts.optimizer, *parts.loss_scaler) || parts.updated;
    const bool scale_found = parts.updated || !std::isfinite(result.loss) || parts.loss_scaler->scale() <= 1;
    if (scale_found && (parts.ready || !parts.graph || steps >= StepGraph::kOrdinarySteps)) break;
  }
  parts.ready = true;
  return result.loss;
}

void SyntheticTraining::synchronize() {
  if (parts_->cuda) torch::cuda::synchronize();
}

std::int64_t SyntheticTraining::parameters() const {
  std::int64_t sum = 0;
  for (const torch::Tensor& parameter : parts_->model->parameters()) sum += parameter.numel();
  return sum;
}

std::int64_t SyntheticTraining::lookups() const {
  std::int64_t sum = 0;
  for (const ConvolutionLayer& layer : parts_->model->convolutions()) {
    if (!layer.lookup.is_empty()) sum += layer.lookup->lookups().indices.numel();
  }
  return sum;
}

std::int64_t SyntheticTraining::weight_bytes() const {
  std::int64_t sum = 0;
  for (const torch::Tensor& parameter : parts_->model->parameters()) sum += static_cast<std::int64_t>(parameter.nbytes());
  for (const torch::Tensor& buffer : parts_->model->buffers()) sum += static_cast<std::int64_t>(buffer.nbytes());
  return sum;
}

std::int64_t SyntheticTraining::image_bytes() const { return static_cast<std::int64_t>(parts_->images.nbytes()); }

std::int64_t SyntheticTraining::graph_bytes() const { return parts_->graph ? parts_->graph->held_bytes() : 0; }

}  // namespace lcnn::train
