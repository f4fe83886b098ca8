#include "train/checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <array>
#include <cmath>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace lcnn::train {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kOrder = "training.order";
constexpr const char* kCorrect = "training.correct";
constexpr const char* kRandomState = "training.random_state";

constexpr std::array kLossScaler{"loss_scale", "growth_tracker"};

const std::map<std::string, torch::Dtype> kTypes{
    {"F32", torch::kFloat}, {"F64", torch::kDouble}, {"I32", torch::kInt}, {"I64", torch::kLong}, {"U8", torch::kByte}};

StoredTensor stored(const std::string& name, const torch::Tensor& tensor) {
  const torch::Tensor host = tensor.detach().to(torch::kCPU).contiguous();
  for (const auto& [type, dtype] : kTypes) {
    if (dtype != host.scalar_type()) continue;
    return {.name = name, .type = type, .shape = host.sizes().vec(),
            .bytes = std::string(static_cast<const char*>(host.const_data_ptr()), host.nbytes())};
  }
  throw std::logic_error(name + " is of a type that is not stored");
}

torch::Tensor loaded(const StoredTensor& source) {
  const torch::Tensor tensor = torch::empty(source.shape, kTypes.at(source.type));
  std::memcpy(tensor.mutable_data_ptr(), source.bytes.data(), source.bytes.size());
  return tensor;
}

std::string loss_scaler_key(const std::string& name) { return "training." + name; }
std::string optimizer_prefix(const std::string& parameter) { return "optimizer." + parameter + "."; }

[[noreturn]] void refuse(const Checkpoint& checkpoint, const std::string& why) {
  throw std::runtime_error(checkpoint.file.string() + ": " + why);
}

torch::Tensor required(const Checkpoint& checkpoint, const std::string& name) {
  const StoredTensor* const tensor = checkpoint.content.find(name);
  if (tensor == nullptr) refuse(checkpoint, "it holds no " + name);
  return loaded(*tensor);
}

// A loss that is not known yet is null in JSON.
ordered_json number_or_null(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(); }
double number_or_infinity(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>();
}

void restore(const Checkpoint& checkpoint, const std::string& name, torch::Tensor target) {
  const torch::Tensor source = required(checkpoint, name);
  if (source.sizes() != target.sizes() || source.scalar_type() != target.scalar_type()) {
    refuse(checkpoint, name + " is of another shape or type than this network's");
  }
  const torch::NoGradGuard no_grad;
  target.copy_(source);
}

// The name of a layer's lookup tensors: their number is the training's, not the architecture's.
bool is_lookup_tensor(const std::string& name) {
  return name.ends_with(".lookup_offsets") || name.ends_with(".lookup_indices") || name.ends_with(".lookup_coefficients");
}

}  // namespace

void save_checkpoint(const std::filesystem::path& file, const Architecture& architecture, const Options& options,
                     const Normalization& normalization, const Labels& labels,
                     const Progress& progress, Model& model, torch::optim::Optimizer& optimizer) {
  TensorFile content;
  for (const auto& parameter : model.named_parameters()) {
    content.tensors.push_back(stored(parameter.key(), parameter.value()));
    for (const auto& [slot, tensor] : state_of(optimizer, parameter.value())) {
      content.tensors.push_back(stored(optimizer_prefix(parameter.key()) + slot, tensor));
    }
  }
  for (const auto& buffer : model.named_buffers()) content.tensors.push_back(stored(buffer.key(), buffer.value()));
  if (progress.order.defined()) content.tensors.push_back(stored(kOrder, progress.order));
  for (const auto& [name, tensor] : progress.loss_scaler) content.tensors.push_back(stored(loss_scaler_key(name), tensor));
  if (progress.correct.defined()) content.tensors.push_back(stored(kCorrect, progress.correct));
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  {
    const std::lock_guard lock(generator.mutex());
    content.tensors.push_back(stored(kRandomState, generator.get_state()));
  }
  content.metadata = {
      {"format", "lcnn checkpoint 1"},
      {"architecture", to_json(architecture).dump()},
      {"options", json(options.values).dump()},
      {"epoch", std::to_string(progress.epochs)},
      {"normalization", ordered_json{{"mean", normalization.mean}, {"deviation", normalization.deviation}}.dump()},
      {"progress", ordered_json{{"epochs", progress.epochs},
                                {"batches", progress.batches},
                                {"loss_sum", progress.loss_sum},
                                {"skipped_steps", progress.skipped_steps},
                                {"loss", number_or_null(progress.loss)},
                                {"best_loss", number_or_null(progress.best_loss)},
                                {"best_epoch", progress.best_epoch}}.dump()}};
  if (!labels.names.empty()) content.metadata["labels"] = ordered_json{{"names", labels.names}, {"attributes", labels.attributes}}.dump();
  if (progress.epochs > 0) content.metadata["loss"] = ordered_json(progress.loss).dump();
  write_safetensors(file, std::move(content));
}

Checkpoint read_checkpoint(const std::filesystem::path& file) {
  Checkpoint checkpoint{.file = file, .content = read_safetensors(file)};
  const auto metadata = [&](const char* key) {
    const auto found = checkpoint.content.metadata.find(key);
    if (found == checkpoint.content.metadata.end()) refuse(checkpoint, std::string("it is no checkpoint: its metadata has no ") + key);
    return found->second;
  };
  if (metadata("format") != "lcnn checkpoint 1") refuse(checkpoint, "it is a checkpoint of another version");
  try {
    json::parse(metadata("options")).get_to(checkpoint.options);
    const json normalization = json::parse(metadata("normalization"));
    normalization.at("mean").get_to(checkpoint.normalization.mean);
    normalization.at("deviation").get_to(checkpoint.normalization.deviation);
    const json progress = json::parse(metadata("progress"));
    progress.at("epochs").get_to(checkpoint.progress.epochs);
    progress.at("batches").get_to(checkpoint.progress.batches);
    progress.at("loss_sum").get_to(checkpoint.progress.loss_sum);
    checkpoint.progress.skipped_steps = progress.value("skipped_steps", std::int64_t{0});
    progress.at("best_epoch").get_to(checkpoint.progress.best_epoch);
    checkpoint.progress.loss = number_or_infinity(progress.at("loss"));
    checkpoint.progress.best_loss = number_or_infinity(progress.at("best_loss"));
  } catch (const json::exception&) {
    refuse(checkpoint, "it is damaged: its metadata cannot be read");
  }
  try {
    checkpoint.architecture = architecture_from_json(json::parse(metadata("architecture")));
  } catch (const json::exception&) {
    refuse(checkpoint, "it is damaged: its architecture cannot be read");
  } catch (const std::runtime_error& error) {
    refuse(checkpoint, error.what());
  }
  if (checkpoint.normalization.mean.size() != static_cast<std::size_t>(checkpoint.architecture.shape.channels) ||
      checkpoint.normalization.deviation.size() != checkpoint.normalization.mean.size()) {
    refuse(checkpoint, "it is damaged: its normalization is not of its images' channels");
  }
  if (checkpoint.content.find(kOrder) != nullptr) checkpoint.progress.order = required(checkpoint, kOrder);
  for (const char* const name : kLossScaler) {
    if (checkpoint.content.find(loss_scaler_key(name)) != nullptr) checkpoint.progress.loss_scaler[name] = required(checkpoint, loss_scaler_key(name));
  }
  if (checkpoint.content.find(kCorrect) != nullptr) checkpoint.progress.correct = required(checkpoint, kCorrect);
  return checkpoint;
}

void restore_model(const Checkpoint& checkpoint, Model& model, const std::string& layer_left_out) {
  const auto is_read = [&](const std::string& name) {
    return !is_lookup_tensor(name) && (layer_left_out.empty() || !name.starts_with(layer_left_out + "."));
  };
  for (const ConvolutionLayer& layer : model.convolutions()) {
    if (layer.lookup.is_empty() || layer.lookup->options.method() != LookupMethod::fixed) continue;
    LookupConv2d lookup = layer.lookup;  // the same module, not const
    try {
      lookup->set_lookups({required(checkpoint, layer.name + ".lookup_offsets"), required(checkpoint, layer.name + ".lookup_indices"),
                           required(checkpoint, layer.name + ".lookup_coefficients")});
    } catch (const std::invalid_argument& error) {
      refuse(checkpoint, layer.name + ": " + error.what());
    }
  }
  for (const auto& parameter : model.named_parameters()) {
    if (is_read(parameter.key())) restore(checkpoint, parameter.key(), parameter.value());
  }
  for (const auto& buffer : model.named_buffers()) {
    if (is_read(buffer.key())) restore(checkpoint, buffer.key(), buffer.value());
  }
}

void restore_optimizer(const Checkpoint& checkpoint, Model& model, torch::optim::Optimizer& optimizer) {
  std::map<std::string, NamedTensors> states;
  bool any = false;  // not before the first step, nor for sgd without momentum
  for (const auto& parameter : model.named_parameters()) {
    const std::string prefix = optimizer_prefix(parameter.key());
    for (const StoredTensor& tensor : checkpoint.content.tensors) {
      if (!tensor.name.starts_with(prefix)) continue;
      states[parameter.key()][tensor.name.substr(prefix.size())] = loaded(tensor);
      any = true;
    }
  }
  if (!any) return;
  for (const auto& parameter : model.named_parameters()) {
    if (!parameter.value().requires_grad()) continue;
    try {
      restore_state(optimizer, parameter.value(), states[parameter.key()]);
    } catch (const std::runtime_error& error) {
      refuse(checkpoint, parameter.key() + ": " + error.what());
    }
  }
}

void restore_generator(const Checkpoint& checkpoint) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const torch::Tensor state = required(checkpoint, kRandomState);
  const std::lock_guard lock(generator.mutex());
  const torch::Tensor own = generator.get_state();
  if (state.sizes() != own.sizes() || state.scalar_type() != own.scalar_type()) {
    refuse(checkpoint, std::string(kRandomState) + " is of another size than LibTorch's");
  }
  generator.set_state(state);
}

}  // namespace lcnn::train
