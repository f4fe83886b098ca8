#include "bench/program/network_steps.h"

#include <ATen/Context.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "bench/program/step_error.h"
#include "train/architecture.h"
#include "train/options.h"
#include "train/synthetic_training.h"

namespace lcnn::bench {
namespace {

using train::ConvolutionKind;

// How LookupConv2d is trained, and by what it is computed then.
struct Method {
  std::string_view name;
  ConvolutionKind kind;
  bool filters;
  std::vector<Layout> layouts;
};
const std::array kMethods{
    Method{"pooled", ConvolutionKind::pooled, false, {Layout::nchw, Layout::nhwc}},
    Method{"pooled_filters", ConvolutionKind::pooled, true, {Layout::nchw, Layout::nhwc}},
    Method{"fixed", ConvolutionKind::fixed, false, {Layout::nchw}},  // our kernels for S and lookups are for planes
    Method{"fixed_filters", ConvolutionKind::fixed, true, {Layout::nchw, Layout::nhwc}},
};
constexpr std::int64_t kVerifiedBatch = 8;

// The library at its best: every algorithm is tried, in the row's precision.
void configure_library(Precision precision) {
  at::globalContext().setBenchmarkCuDNN(true);
  at::globalContext().setAllowTF32CuDNN(precision == Precision::tf32);
  at::globalContext().setAllowTF32CuBLAS(precision == Precision::tf32);
}

train::Options training_options(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun& run) {
  if (group.precision == Precision::tf32 && run.device == Device::cpu) throw Unsupported("tf32 is for CUDA");
  const train::ModelEntry& model = *train::find_model(group.network);
  train::Options options;
  train::Architecture& architecture = options.architecture;
  architecture.model = group.network;
  architecture.shape = train::usual_shape(group.network);
  architecture.classes = train::usual_classes(architecture.shape);
  if (!row.is_baseline()) {
    const Method& method = *std::ranges::find(kMethods, row.convolution, &Method::name);
    architecture.convolution = method.kind;
    options.filters = method.filters;
    const Dictionary& dictionary = group.dictionaries[row.dictionary];
    architecture.dictionary_sizes = dictionary.name == "fast"       ? model.fast
                                    : dictionary.name == "accurate" ? model.accurate
                                                                    : std::vector(model.fast.size(), dictionary.size);
    architecture.sparsity = static_cast<std::int64_t>(dictionary.sparsity);
    architecture.initial_sparsity = 0.3;  // as lcnn_train's
  }
  options.lambda = architecture.convolution == ConvolutionKind::pooled ? 1e-4 : 0;  // small: that the term is there is what takes time
  options.schedule.learning_rate = 1e-3;  // random labels have to be learnt for as long as it takes, without running away
  options.momentum = 0.9;
  options.weight_decay = 5e-4;
  options.autocast = group.precision == Precision::tf32 ? Precision::fp32 : group.precision;
  options.batch = group.batch;
  options.seed = run.seed;
  options.device = run.device;
  options.graph = row.graph;
  options.channels_last = row.layout == Layout::nhwc;
  return options;
}

class NetworkStep final : public TrainingStep {
 public:
  NetworkStep(const train::Options& options, Precision precision) : options_(options), precision_(precision), training_(options) {}

  void run() override {
    configure_library(precision_);
    if (!std::isfinite(training_.step())) throw std::runtime_error("the loss is no longer finite");
  }
  TrainingProblem problem() const override {
    const train::Architecture& architecture = options_.architecture;
    return {.batch = options_.batch, .channels = architecture.shape.channels, .height = architecture.shape.height,
            .width = architecture.shape.width, .classes = architecture.classes, .parameters = training_.parameters(),
            .dictionary_sizes = architecture.dictionary_sizes, .lookups = training_.lookups()};
  }
  TrainingMemory memory() const override {
    return {.weights = training_.weight_bytes(), .images = training_.image_bytes(),
            .outputs = options_.batch * options_.architecture.classes * element_bytes(Precision::fp32), .graph = training_.graph_bytes()};
  }

 private:
  const train::Options options_;
  const Precision precision_;
  train::SyntheticTraining training_;
};

}  // namespace

std::vector<std::string> NetworkSteps::names() const {
  std::vector<std::string> names;
  for (const train::ModelEntry& model : train::model_table()) names.emplace_back(model.name);
  return names;
}

std::vector<TrainingMethod> NetworkSteps::methods() const {
  std::vector<TrainingMethod> methods;
  for (const Method& method : kMethods) methods.push_back({std::string(method.name), method.layouts});
  return methods;
}

std::unique_ptr<TrainingStep> NetworkSteps::prepare(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun& run) const {
  const train::Options options = training_options(group, row, run);
  configure_library(group.precision);
  return std::make_unique<NetworkStep>(options, group.precision);
}

lcnn::Comparison NetworkSteps::verify(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun& run) const {
  train::Options options = training_options(group, row, run);
  options.batch = kVerifiedBatch;
  configure_library(group.precision);
  return step_error(options);
}

}  // namespace lcnn::bench
