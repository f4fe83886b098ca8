#include "train/predictor.h"

#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include "bench/statistics.h"
#include "train/checkpoint.h"
#include "train/normalizer.h"
#include "train/variant_layers.h"
#include "variants/runtime.h"
#include "variants/variant_table.h"

namespace lcnn::train {
namespace {

// "labels" in the metadata; classes are numbered without it.
Labels labels_of(const Checkpoint& checkpoint) {
  Labels labels;
  const auto stored = checkpoint.content.metadata.find("labels");
  const auto outputs = static_cast<std::size_t>(checkpoint.architecture.classes);
  if (stored == checkpoint.content.metadata.end()) return output_labels(labels, checkpoint.architecture.classes);
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

// Images as the validation saw them. Where that had no files, their proportions say nothing: they are stretched.
View view_of(const Checkpoint& checkpoint) {
  const auto option = [&](const char* name, const char* preset) {
    const auto found = checkpoint.options.find(name);
    return found == checkpoint.options.end() ? std::string(preset) : found->second;
  };
  View view{.shape = checkpoint.architecture.shape, .resize = Resize::stretch};
  const auto dataset = std::ranges::find(dataset_table(), option("dataset", ""), &DatasetEntry::name);
  if (dataset == dataset_table().end() || !dataset->files) return view;
  const std::string crop = option("crop", "0");
  const auto [end, error] = std::from_chars(crop.data(), crop.data() + crop.size(), view.augmentation.crop);
  if (error != std::errc{} || end != crop.data() + crop.size() || view.augmentation.crop < 0 || view.augmentation.crop > kMostCrop) {
    throw std::runtime_error(checkpoint.file.string() + ": it is damaged: its option crop is " + crop);
  }
  if (option("resize", "crop") == "crop") view.resize = Resize::crop;
  return view;
}

CheckpointSummary summary_of(const Checkpoint& checkpoint) {
  const Progress& progress = checkpoint.progress;
  CheckpointSummary summary{.architecture = checkpoint.architecture, 
                            .labels = labels_of(checkpoint), .view = view_of(checkpoint), .epoch = progress.epochs};
  if (progress.epochs > 0) summary.loss = progress.loss;
  summary.best = progress.epochs > 0 && progress.best_epoch == progress.epochs && progress.batches == 0;
  return summary;
}

Tiles tiles_of(const Conv2dProblem& p, std::vector<float> values) {
  return {.rows = p.out_channels, .columns = p.in_channels_per_group(), .height = p.kernel[0], .width = p.kernel[1],
          .values = std::move(values)};
}

// All of a layer but its time.
InspectedLayer inspected(const ConvolutionLayer& layer, const LayerCost& cost) {
  InspectedLayer result{.name = layer.name, .dictionary_size = cost.dictionary_size, .lookup_elements = cost.lookup_elements,
                        .multiplications = cost.multiplications, .conv2d_multiplications = cost.conv2d_multiplications};
  const auto size = [](const std::vector<float>& values) { return static_cast<std::int64_t>(values.size()); };
  if (layer.lookup.is_empty()) {
    const torch::Tensor weight = layer.conv2d->weight.detach().to(torch::kCPU).contiguous(), bias = layer.conv2d->bias;
    const std::vector<float> values(weight.const_data_ptr<float>(), weight.const_data_ptr<float>() + weight.numel());
    result.filters = {.rows = weight.size(0), .columns = weight.size(1), .height = weight.size(2), .width = weight.size(3), .values = values};
    result.parameters = result.conv2d_parameters = weight.numel() + (bias.defined() ? bias.numel() : 0);
    result.bytes = result.conv2d_bytes = result.parameters * element_bytes(Precision::fp32);
    return result;
  }
  const LookupProblem problem = layer.lookup->problem(1, layer.input[0], layer.input[1]);
  const DenseWeights dense = dense_weights(problem, layer.lookup->weights(), Precision::fp32);
  result.weights = layer.lookup->weights();
  result.parameters = size(result.weights.dictionary) + result.weights.lookups.lookups() + size(result.weights.bias);
  result.bytes = stored_bytes(result.weights, Precision::fp32);
  result.conv2d_parameters = size(dense.weight) + size(dense.bias);
  result.conv2d_bytes = stored_bytes(dense, Precision::fp32);
  result.dictionary = tiles_of(problem.dictionary_stage(), result.weights.dictionary);
  result.filters = tiles_of(problem.conv, dense.weight);
  result.composition = tiles_of(problem.lookup_stage(), dense_lookups(problem, result.weights.lookups));
  return result;
}

}  // namespace

struct Predictor::State {
  State(const Checkpoint& checkpoint, const std::string& variant, Device device, std::int64_t batch)
      : summary(summary_of(checkpoint)),
        device(device == Device::cuda ? torch::kCUDA : torch::kCPU),
        batch(batch),
        model(make_model(checkpoint.architecture)),
        normalized(checkpoint.normalization, this->device) {
#if LCNN_HAS_CUDA
    if (device == Device::cuda) stream.emplace(make_stream());
#endif
    restore_model(checkpoint, *model);
    model->to(this->device);
    model->eval();
    if (checkpoint.architecture.convolution == ConvolutionKind::conv2d) {
      if (!variant.empty()) throw std::invalid_argument("--variant=" + variant + ": this network has no LookupConv2d");
      return;
    }
    this->variant = variant.empty() ? std::string(kAutoVariant) : variant;
    layers = std::make_unique<VariantLayers>(*model, variant_named(this->variant, device), variant_named(std::string(kAutoVariant), device));
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
  const Normalizer normalized;
  std::string variant;                    // empty without LookupConv2d, like
  std::unique_ptr<VariantLayers> layers;  // this
  std::vector<double> milliseconds;  // of each batch
#if LCNN_HAS_CUDA
  std::optional<CurrentStream> stream;  // variants time their choices in graphs, and the default stream cannot be captured
#endif
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
  const torch::Tensor images = state.normalized(bytes);
  if (state.device.is_cuda()) torch::cuda::synchronize();
  torch::Tensor outputs;
  if (state.milliseconds.empty()) {
    state.model->fold_normalizations();
    state.forward(images, outputs);  // prepares the layers, warms up
  }
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

std::vector<InspectedLayer> Predictor::inspect(std::int64_t runs) {
  const torch::NoGradGuard no_grad;
  State& state = *state_;
  const ImageShape& shape = state.summary.architecture.shape;
  const torch::Tensor images = torch::randn({state.batch, shape.channels, shape.height, shape.width}).to(state.device);
  torch::Tensor outputs;
  state.forward(images, outputs);  // prepares the layers, warms up
  auto& convolutions = state.model->convolutions();
  std::vector<std::vector<double>> times(convolutions.size());
  std::vector<decltype(ConvolutionLayer::evaluate)> evaluations;
  for (std::size_t i = 0; i < convolutions.size(); ++i) {
    ConvolutionLayer& layer = convolutions[i];
    evaluations.push_back(layer.evaluate);
    layer.evaluate = [&, i, compute = layer.evaluate](const torch::Tensor& x) {
      if (state.device.is_cuda()) torch::cuda::synchronize();
      const auto begin = std::chrono::steady_clock::now();
      torch::Tensor y = compute ? compute(x) : convolutions[i].conv2d->forward(x);
      if (state.device.is_cuda()) torch::cuda::synchronize();
      times[i].push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
      return y;
    };
  }
  for (std::int64_t run = 0; run < runs; ++run) state.forward(images, outputs);
  const std::vector<LayerCost> costs = state.model->costs();
  std::vector<InspectedLayer> layers;
  for (std::size_t i = 0; i < convolutions.size(); ++i) {
    convolutions[i].evaluate = evaluations[i];
    layers.push_back(inspected(convolutions[i], costs[i]));
    layers.back().milliseconds = bench::median(times[i]) / static_cast<double>(state.batch);
  }
  return layers;
}

}  // namespace lcnn::train
