#include "bench/program/step_error.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "train/loss_scaler.h"
#include "train/model.h"
#include "train/training_step.h"

namespace lcnn::bench {
namespace {

// P [out_channels, dictionary_size, ph, pw] as a function of the layer's parameters.
torch::Tensor dense_lookups(const LookupConv2dImpl& layer, const Conv2dProblem& stage) {
  if (layer.options.method() == LookupMethod::pooled) {
    const torch::Tensor zero = layer.lookup_weight.detach().abs().le(layer.sparse_th());
    return layer.lookup_weight.masked_fill(zero, 0);
  }
  const std::int64_t taps = stage.taps(), entries = stage.in_channels_per_group();
  const torch::Tensor counts = layer.lookup_offsets.diff().to(torch::kLong);
  const torch::Tensor rows = torch::repeat_interleave(counts), indices = layer.lookup_indices.to(torch::kLong);
  const torch::Tensor at = (rows.floor_divide(taps) * entries + indices) * taps + rows.remainder(taps);
  const torch::Tensor flat = torch::zeros({stage.out_channels * entries * taps}, layer.lookup_coefficients.options());
  return flat.index_put({at}, layer.lookup_coefficients).view({stage.out_channels, entries, stage.kernel[0], stage.kernel[1]});
}

torch::Tensor convolve(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const Conv2dProblem& stage) {
  return torch::conv2d(x, weight, bias, stage.stride, stage.padding, stage.dilation, stage.groups);
}

// Eq. 4-7 of the paper by dense convolutions.
torch::Tensor dense_forward(const LookupConv2dImpl& layer, const torch::Tensor& x) {
  const LookupProblem problem = layer.problem(x.size(0), x.size(2), x.size(3));
  const torch::Tensor s = convolve(x, layer.dictionary, {}, problem.dictionary_stage());
  return convolve(s, dense_lookups(layer, problem.lookup_stage()), layer.bias, problem.lookup_stage());
}

torch::Tensor dense_forward(const torch::nn::Conv2dImpl& layer, const torch::Tensor& x) {
  const auto& options = layer.options;
  return torch::conv2d(x, layer.weight, layer.bias, options.stride(), std::get<torch::ExpandingArray<2>>(options.padding()),
                       options.dilation(), options.groups());
}

// A convolution as it was before the step, in float64, and what passed through it during the step.
struct Recorded {
  std::shared_ptr<torch::nn::Module> exact, layer;
  torch::Tensor x, y, grad_x, grad_y;
};

std::shared_ptr<torch::nn::Module> module_of(const train::ConvolutionLayer& layer) {
  if (layer.lookup.is_empty()) return layer.conv2d.ptr();
  return layer.lookup.ptr();
}

// From now on the layer's forward and backward pass leave their tensors in `recorded`.
void record(train::ConvolutionLayer& layer, Recorded& recorded) {
  recorded.layer = module_of(layer);
  recorded.exact = recorded.layer->clone();
  recorded.exact->to(torch::kDouble);
  const auto compute = layer.evaluate ? layer.evaluate : [module = recorded.layer](const torch::Tensor& x) {
    if (auto* const lookup = module->as<LookupConv2dImpl>()) return lookup->forward(x);
    return module->as<torch::nn::Conv2dImpl>()->forward(x);
  };
  layer.evaluate = [&recorded, compute](const torch::Tensor& input) {
    const torch::Tensor x = input.view_as(input);  // its gradient is this layer's alone, whoever else takes the input
    torch::Tensor y = compute(x);
    recorded.x = x.detach();
    recorded.y = y.detach();
    if (x.requires_grad()) x.register_hook([&recorded](const torch::Tensor& grad) { recorded.grad_x = grad; });
    y.register_hook([&recorded](const torch::Tensor& grad) { recorded.grad_y = grad; });
    return y;
  };
}

double norm_of(const torch::Tensor& tensor) { return tensor.norm().item<double>(); }

using Pairs = std::vector<std::pair<torch::Tensor, torch::Tensor>>;  // found, expected

// The largest relative error so far, which NaN stays.
class LargestError {
 public:
  // Of tensors that are one vector together.
  void add(const Pairs& parts) {
    double error = 0, norm = 0;
    for (const auto& [found, expected] : parts) {
      error = std::hypot(error, norm_of(found.to(torch::kDouble) - expected));
      norm = std::hypot(norm, norm_of(expected));
    }
    const double relative = error == 0 ? 0 : error / norm;
    if (!(relative <= largest_)) largest_ = relative;
  }
  double value() const { return largest_; }

 private:
  double largest_ = 0;
};

// loss_scale: by what the recorded gradients, but not those of the parameters, are too large.
void compare(const Recorded& recorded, double lambda, double loss_scale, LargestError& errors) {
  const torch::Tensor x = recorded.x.to(torch::kDouble).requires_grad_();
  const auto* const lookup = recorded.exact->as<LookupConv2dImpl>();
  const torch::Tensor y = lookup != nullptr ? dense_forward(*lookup, x) : dense_forward(*recorded.exact->as<torch::nn::Conv2dImpl>(), x);
  errors.add({{recorded.y, y.detach()}});
  const torch::Tensor grad_y = recorded.grad_y.to(torch::kDouble) / loss_scale;
  torch::Tensor sum = (y * grad_y).sum();
  if (lookup != nullptr && lambda > 0) {
    const LookupProblem problem = lookup->problem(x.size(0), x.size(2), x.size(3));
    sum = sum + lambda * lookup->sparse_th() * dense_lookups(*lookup, problem.lookup_stage()).abs().sum();
  }
  sum.backward();
  if (recorded.grad_x.defined()) errors.add({{recorded.grad_x.to(torch::kDouble) / loss_scale, x.grad()}});
  // A layer's gradient is one vector: by itself a bias's, or that of a dictionary of one number, may nearly cancel out.
  const auto expected = recorded.exact->named_parameters();
  Pairs gradients;
  for (const auto& parameter : recorded.layer->named_parameters()) {
    gradients.emplace_back(parameter.value().grad(), expected[parameter.key()].grad());
  }
  errors.add(gradients);
}

}  // namespace

lcnn::Comparison step_error(const train::Options& options) {
  torch::manual_seed(options.seed);
  const std::shared_ptr<train::Model> model = train::make_model(options.architecture);
  model->to(options.device == Device::cuda ? torch::kCUDA : torch::kCPU);
  model->train();
  return step_error(options, *model);
}

lcnn::Comparison step_error(const train::Options& options, train::Model& model) {
  const train::Architecture& architecture = options.architecture;
  const torch::Device device = model.parameters().front().device();
  const auto [channels, height, width] = architecture.shape;
  torch::Tensor images = torch::randn({options.batch, channels, height, width}).to(device);
  const torch::Tensor labels = torch::randint(architecture.classes, {options.batch}, torch::kLong).to(device);
  if (options.channels_last) {
    images = images.contiguous(torch::MemoryFormat::ChannelsLast);
    model.to_channels_last();
  }
  model.set_evaluation(options.filters ? LookupEvaluation::filters : LookupEvaluation::stages);
  std::deque<Recorded> layers;
  for (train::ConvolutionLayer& layer : model.convolutions()) record(layer, layers.emplace_back());
  train::LossScaler loss_scaler(options.autocast == Precision::fp16, device);
  const train::Objective objective{.lambda = options.lambda, .autocast = options.autocast, .loss_scaler = &loss_scaler};
  torch::Tensor outputs;
  double loss_scale = 0;
  // As in training, where a step whose scaled gradients overflow is left out and the next one scales by less.
  do {
    model.zero_grad();
    outputs = train::add_gradients(model, images, labels, objective, 1).outputs;
    loss_scale = loss_scaler.scale();
  } while (!loss_scaler.unscale(model.parameters()) && loss_scale > 1);

  lcnn::Comparison comparison;
  const auto count_non_finite = [&](const torch::Tensor& values) {
    comparison.non_finite += values.detach().isfinite().logical_not().sum().item<std::int64_t>();
  };
  count_non_finite(outputs);
  for (const torch::Tensor& parameter : model.parameters()) count_non_finite(parameter.grad());
  LargestError errors;
  for (const Recorded& layer : layers) compare(layer, options.lambda, loss_scale, errors);
  comparison.rel_err = errors.value();
  return comparison;
}

}  // namespace lcnn::bench
