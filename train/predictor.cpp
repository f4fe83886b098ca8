#include "train/predictor.h"

#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/statistics.h"
#include "train/checkpoint.h"
#include "train/variant_layers.h"
#include "variants/variant_table.h"

namespace lcnn::train {
namespace {

// "labels" in the metadata; classes are numbered without it.
Labels labels_of(const Checkpoint& checkpoint) {
  Labels labels;
  const auto stored = checkpoint.content.metadata.find("labels");
  const auto outputs = static_cast<std::size_t>(checkpoint.architecture.classes);
  if (stored == checkpoint.content.metadata.end()) {
    for (std::size_t i = 0; i < outputs; ++i) labels.names.push_back(std::to_string(i));
    return labels;
  }
  try {
    const nlohmann::json json = nlohmann::json::parse(stored->second);
    json.at("names").get_to(labels.names);
    json.at("attributes").get_to(labels.attributes);
  } catch (const nlohmann::json::exception&) {
    throw std::runtime_error(checkpoint.file.string() + ": it is damaged: its labels cannot be read");
  }
  if (labels.names.size() != outputs) {
    throw std::runtime_error(checkpoint.file.string() + ": it is damaged: it has " + std::to_string(labels.names.size()) +
                             " labels for " + std::to_string(outputs) + " outputs");
  }
  return labels;
}

CheckpointSummary summary_of(const Checkpoint& checkpoint) {
  const Progress& progress = checkpoint.progress;
  CheckpointSummary summary{.architecture = checkpoint.architecture, .labels = labels_of(checkpoint), .epoch = progress.epochs};
  if (progress.epochs > 0) summary.loss = progress.loss;
  summary.best = progress.epochs > 0 && progress.best_epoch == progress.epochs && progress.batches == 0;
  return summary;
}

}  // namespace

struct Predictor::State {
  State(const Checkpoint& checkpoint, const std::string& variant, Device device, std::int64_t batch)
      : summary(summary_of(checkpoint)),
        device(device == Device::cuda ? torch::kCUDA : torch::kCPU),
        batch(batch),
        model(make_model(checkpoint.architecture)) {
    restore_model(checkpoint, *model);
    model->to(this->device);
    model->eval();
    const auto by_channel = [&](const std::vector<double>& values) {
      return torch::tensor(values, torch::kFloat).view({1, -1, 1, 1}).to(this->device);
    };
    mean = by_channel(checkpoint.normalization.mean);
    deviation = by_channel(checkpoint.normalization.deviation);
    if (checkpoint.architecture.convolution == ConvolutionKind::conv2d) {
      if (!variant.empty()) throw std::invalid_argument("--variant=" + variant + ": this network has no LookupConv2d");
      return;
    }
    this->variant = variant.empty() ? std::string(kAutoVariant) : variant;
    layers = std::make_unique<VariantLayers>(*model, variant_named(this->variant, device));
  }

  // In milliseconds, what it enqueued done.
  double forward(const torch::Tensor& images, torch::Tensor& outputs) {
    const auto begin = std::chrono::steady_clock::now();
    outputs = model->forward(images);
    if (device.is_cuda()) torch::cuda::synchronize();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }

  const CheckpointSummary summary;
  const torch::Device device;
  const std::int64_t batch;
  const std::shared_ptr<Model> model;
  torch::Tensor mean, deviation;
  std::string variant;                    // empty without LookupConv2d, like
  std::unique_ptr<VariantLayers> layers;  // this
  std::vector<double> milliseconds;  // of each batch
};

Predictor::Predictor(const std::filesystem::path& checkpoint, const std::string& variant, Device device, std::int64_t batch,
                     int threads) {
  if (device == Device::cuda) {
    if (const std::string reason = why_no_cuda(); !reason.empty()) throw std::invalid_argument("--device=cuda: " + reason);
  }
  if (threads > 0) set_threads(threads);
  state_ = std::make_unique<State>(read_checkpoint(checkpoint), variant, device, batch);
}

Predictor::~Predictor() = default;

const CheckpointSummary& Predictor::summary() const { return state_->summary; }

const std::string& Predictor::variant() const { return state_->variant; }

std::vector<double> Predictor::predict(std::span<const std::uint8_t> pixels) {
  const torch::NoGradGuard no_grad;
  State& state = *state_;
  const ImageShape& shape = state.summary.architecture.shape;
  const auto count = static_cast<std::int64_t>(pixels.size()) / shape.elements();
  if (count < 1 || count > state.batch) throw std::logic_error("predict takes 1 to `batch` images");
  torch::Tensor bytes = torch::zeros({state.batch, shape.channels, shape.height, shape.width}, torch::kByte);
  std::memcpy(bytes.mutable_data_ptr(), pixels.data(), pixels.size());
  const torch::Tensor images = bytes.to(state.device).to(torch::kFloat).div_(255.0).sub_(state.mean).div_(state.deviation);
  if (state.device.is_cuda()) torch::cuda::synchronize();
  torch::Tensor outputs;
  if (state.milliseconds.empty()) state.forward(images, outputs);  // prepares the layers, warms up
  state.milliseconds.push_back(state.forward(images, outputs));
  const torch::Tensor known = outputs.slice(0, 0, count).to(torch::kCPU, torch::kDouble);
  const torch::Tensor result = (state.summary.labels.attributes ? known.sigmoid() : known.softmax(1)).contiguous();
  return {result.const_data_ptr<double>(), result.const_data_ptr<double>() + result.numel()};
}

double Predictor::milliseconds_per_image() const { return bench::median(state_->milliseconds) / static_cast<double>(state_->batch); }

double Predictor::prepare_ms() const {
  double sum = 0;
  for (const LayerChoice& layer : choices()) sum += layer.prepare_ms;
  return sum;
}

std::vector<LayerChoice> Predictor::choices() const {
  return state_->layers ? state_->layers->choices() : std::vector<LayerChoice>();
}

}  // namespace lcnn::train
