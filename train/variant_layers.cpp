#include "train/variant_layers.h"

#include <torch/types.h>

#include <chrono>
#include <stdexcept>

#include "variants/variant_table.h"
#if LCNN_HAS_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace lcnn::train {
namespace {

// LibTorch's current one, so that layers stay in order with its operators.
void* current_stream([[maybe_unused]] Device device) {
#if LCNN_HAS_CUDA
  if (device == Device::cuda) return c10::cuda::getCurrentCUDAStream().stream();
#endif
  return nullptr;
}

// With a folded normalization.
LookupWeights weights_of(const ConvolutionLayer& layer) {
  LookupWeights weights = layer.lookup->weights();
  if (!layer.scale.defined()) return weights;
  const torch::Tensor scales = layer.scale.to(torch::kCPU).contiguous(), shifts = layer.shift.to(torch::kCPU).contiguous();
  const float *scale = scales.const_data_ptr<float>(), *shift = shifts.const_data_ptr<float>();
  LookupTable& lookups = weights.lookups;
  const std::int64_t rows = lookups.rows() / lookups.out_channels;  // of a channel
  weights.bias.resize(static_cast<std::size_t>(lookups.out_channels));
  for (std::int64_t channel = 0; channel < lookups.out_channels; ++channel) {
    for (std::int32_t i = lookups.row_offsets[channel * rows]; i < lookups.row_offsets[(channel + 1) * rows]; ++i) lookups.coefficients[i] *= scale[channel];
    weights.bias[channel] = weights.bias[channel] * scale[channel] + shift[channel];
  }
  return weights;
}

}  // namespace

const Variant& variant_named(const std::string& name, Device device) {
  std::string accepted;
  for (const Variant* variant : variant_table()) {
    if (variant->device != device || variant->computes == Computes::pruned_2_4) continue;
    if (variant->name == name) return *variant;
    accepted += (accepted.empty() ? "" : ", ") + std::string(variant->name);
  }
  throw std::invalid_argument("--variant=" + name + ": " + accepted + " are accepted on --device=" + std::string(to_string(device)));
}

class VariantLayers::PreparedLayer {
 public:
  PreparedLayer(const ConvolutionLayer& layer, const Variant& variant, const Variant& fallback, Allocator& allocator)
      : choice_{.name = layer.name}, layer_(layer), variant_(variant), fallback_(fallback), allocator_(allocator) {}

  torch::Tensor run(const torch::Tensor& input) {
    const torch::Tensor x = input.contiguous();
    LookupProblem problem = layer_.lookup->problem(x.size(0), x.size(2), x.size(3));
    problem.conv.bias |= layer_.shift.defined();
    if (prepared_ == nullptr || problem != problem_) prepare(problem);
    const Conv2dProblem& conv = problem.conv;
    torch::Tensor y = torch::empty({conv.batch, conv.out_channels, conv.out_height(), conv.out_width()}, x.options());
    void* const stream = current_stream(variant_.device);
    prepared_->adopt_input(x.const_data_ptr(), stream);
    prepared_->run(x.const_data_ptr(), y.mutable_data_ptr(), stream);
    prepared_->emit_output(y.mutable_data_ptr(), stream);
    return y;
  }
  bool prepared() const { return prepared_ != nullptr; }
  const LayerChoice& choice() const { return choice_; }

 private:
  void prepare(const LookupProblem& problem) {
    const auto begin = std::chrono::steady_clock::now();
    choice_.fallback = why_not_by(variant_, problem);
    if (!choice_.fallback.empty()) {
      if (const std::string why = why_not_by(fallback_, problem); !why.empty()) {
        throw std::invalid_argument("--variant=" + std::string(variant_.name) + ": " + choice_.name + ": " + why);
      }
    }
    problem_ = problem;
    choice_.choice = prepared_->choice();
    choice_.prepare_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }
  // Prepares the layer, or says why the variant does not support it.
  std::string why_not_by(const Variant& variant, const LookupProblem& problem) {
    if (std::string why = variant.why_unsupported(problem, Precision::fp32, Layout::nchw); !why.empty()) return why;
    try {
      prepared_ = variant.prepare(problem, weights_of(layer_), Precision::fp32, Layout::nchw,
                                  {.allocator = &allocator_, .stream = current_stream(variant.device), .host_gemm = library_gemm});
    } catch (const Unsupported& error) {
      return error.what();
    }
    return {};
  }

  LayerChoice choice_;
  const ConvolutionLayer& layer_;
  const Variant &variant_, &fallback_;
  Allocator& allocator_;
  LookupProblem problem_;
  std::unique_ptr<PreparedConvolution> prepared_;
};

VariantLayers::VariantLayers(Model& model, const Variant& variant, const Variant& fallback) : allocator_(make_allocator(variant.device)) {
  for (ConvolutionLayer& layer : model.convolutions()) {
    if (layer.lookup.is_empty()) continue;
    const auto& prepared = layers_.emplace_back(std::make_unique<PreparedLayer>(layer, variant, fallback, *allocator_));
    layer.evaluate = [runner = prepared.get()](const torch::Tensor& x) { return runner->run(x); };
  }
}

VariantLayers::~VariantLayers() = default;

std::vector<LayerChoice> VariantLayers::choices() const {
  std::vector<LayerChoice> choices;
  for (const auto& layer : layers_) {
    if (layer->prepared()) choices.push_back(layer->choice());
  }
  return choices;
}

}  // namespace lcnn::train
