#include "train/model.h"

#include <algorithm>
#include <variant>

#include "kernels/operation_count.h"

namespace lcnn::train {

torch::Tensor ConvolutionLayer::forward(const torch::Tensor& x) {
  input = {x.size(2), x.size(3)};
  torch::Tensor y;
  if (evaluate) {
    y = evaluate(x);
  } else {
    y = lookup.is_empty() ? conv2d->forward(x) : lookup->forward(x);
    if (scale.defined()) y = y * scale.view({-1, 1, 1}) + shift.view({-1, 1, 1});
  }
  return norm.is_empty() ? y : norm->forward(y);
}

ConvolutionLayer& Model::add_convolution(const std::string& name, const torch::nn::Conv2dOptions& options) {
  ConvolutionLayer& layer = convolutions_.emplace_back(ConvolutionLayer{.name = name});
  if (architecture_.convolution == ConvolutionKind::conv2d) {
    layer.conv2d = register_module(name, torch::nn::Conv2d(options));
    return layer;
  }
  const bool pooled = architecture_.convolution == ConvolutionKind::pooled;
  const std::int64_t dictionary_size = architecture_.dictionary_sizes.at(convolutions_.size() - 1);
  layer.lookup = register_module(
      name, LookupConv2d(LookupConv2dOptions(options.in_channels(), options.out_channels(), options.kernel_size(), dictionary_size)
                             .stride(options.stride())
                             .padding(options.padding())
                             .dilation(options.dilation())
                             .groups(options.groups())
                             .bias(options.bias())
                             .granularity(architecture_.granularity)
                             .method(pooled ? LookupMethod::pooled : LookupMethod::fixed)
                             .initial_sparsity(pooled ? architecture_.initial_sparsity : 0.0)
                             .sparsity(pooled ? 0 : std::min(architecture_.sparsity, dictionary_size / options.groups()))));
  return layer;
}

ConvolutionLayer& Model::add_normalized_convolution(const std::string& name, const torch::nn::Conv2dOptions& options) {
  ConvolutionLayer& layer = add_convolution(name, options);
  layer.norm = register_module(name + "_norm", torch::nn::BatchNorm2d(options.out_channels()));
  return layer;
}

void Model::fold_normalizations() {
  const torch::NoGradGuard no_grad;
  for (ConvolutionLayer& layer : convolutions_) {
    if (layer.norm.is_empty()) continue;
    const auto& norm = *layer.norm;
    const torch::Tensor scale = norm.weight / (norm.running_var + norm.options.eps()).sqrt(), shift = norm.bias - norm.running_mean * scale;
    if (layer.lookup.is_empty()) {
      torch::Tensor& bias = layer.conv2d->bias;
      layer.conv2d->weight.mul_(scale.view({-1, 1, 1, 1}));
      bias = bias.defined() ? bias * scale + shift : shift;
    } else {
      layer.scale = scale;
      layer.shift = shift;
    }
    layer.norm = nullptr;
  }
}

torch::Tensor Model::sparsity_loss() const {
  torch::Tensor sum;
  for (const ConvolutionLayer& layer : convolutions_) {
    if (layer.lookup.is_empty()) continue;
    const torch::Tensor loss = layer.lookup->sparsity_loss();
    sum = sum.defined() ? sum + loss : loss;
  }
  return sum;
}

void Model::to_channels_last() {
  for (torch::Tensor& parameter : parameters()) {
    if (parameter.dim() == 4) parameter.set_data(parameter.detach().contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

void Model::set_evaluation(LookupEvaluation evaluation) {
  for (ConvolutionLayer& layer : convolutions_) {
    if (!layer.lookup.is_empty()) layer.lookup->options.evaluation(evaluation);
  }
}

std::vector<LayerCost> Model::costs() const {
  std::vector<LayerCost> costs;
  for (const ConvolutionLayer& layer : convolutions_) {
    LayerCost cost{.name = layer.name};
    if (layer.lookup.is_empty()) {
      const auto& options = layer.conv2d->options;
      const auto pair = [](const torch::ExpandingArray<2>& values) { return Pair{(*values)[0], (*values)[1]}; };
      const Conv2dProblem conv{.in_channels = options.in_channels(), .height = layer.input[0], .width = layer.input[1],
                               .out_channels = options.out_channels(), .kernel = pair(options.kernel_size()),
                               .stride = pair(options.stride()),
                               .padding = pair(std::get<torch::ExpandingArray<2>>(options.padding())),
                               .dilation = pair(options.dilation()), .groups = options.groups()};
      cost.conv2d_multiplications = cost.multiplications = count_operations({.conv = conv}, {}).conv2d_multiplications;
    } else {
      const LookupProblem problem = layer.lookup->problem(1, layer.input[0], layer.input[1]);
      const LookupTable table = layer.lookup->weights().lookups;
      const OperationCount count = count_operations(problem, table);
      cost.dictionary_size = problem.dictionary_size;
      cost.lookups = table.lookups();
      cost.lookup_elements = problem.lookup_stage().weight_elements();
      cost.multiplications = count.lookup_multiplications();
      cost.conv2d_multiplications = count.conv2d_multiplications;
    }
    costs.push_back(cost);
  }
  return costs;
}

}  // namespace lcnn::train
