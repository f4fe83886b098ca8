#include "variants/lookup_conv2d.h"

#include <torch/nn/functional/padding.h>
#include <torch/nn/init.h>
#include <torch/ordered_dict.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include "kernels/training.h"
#include "variants/lookup_conv2d_op.h"

namespace lcnn {
namespace {

Pair to_pair(const torch::ExpandingArray<2>& values) { return {(*values)[0], (*values)[1]}; }

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument("LookupConv2d: " + message); }

template <typename T>
std::vector<T> to_vector(const torch::Tensor& tensor, torch::Dtype type) {
  const torch::Tensor host = tensor.detach().to(torch::kCPU, type).contiguous();
  return {host.const_data_ptr<T>(), host.const_data_ptr<T>() + host.numel()};
}

// The row of each lookup.
torch::Tensor rows_of(const LookupTensors& lookups) {
  const torch::Tensor offsets = lookups.offsets.to(torch::kLong);
  return torch::repeat_interleave(torch::arange(offsets.numel() - 1, offsets.options()), offsets.diff());
}

// Lookups whose rows ascend, to CSR.
LookupTensors from_rows(const torch::Tensor& rows, const torch::Tensor& indices, const torch::Tensor& coefficients,
                        std::int64_t row_count) {
  const torch::Tensor counts = torch::bincount(rows, {}, row_count);
  return {torch::cat({torch::zeros({1}, counts.options()), counts.cumsum(0)}).to(torch::kInt), indices.to(torch::kInt),
          coefficients};
}

// The first dictionary entry of each row's group.
torch::Tensor first_entries(const torch::Tensor& rows, const LookupProblem& problem) {
  const Conv2dProblem stage = problem.lookup_stage();
  return rows.div(stage.out_channels_per_group() * stage.taps(), "floor") * problem.dictionary_size_per_group();
}

std::vector<std::int64_t> weight_sizes(const Conv2dProblem& stage) {
  return {stage.out_channels, stage.in_channels_per_group(), stage.kernel[0], stage.kernel[1]};
}

// P [out_channels, dictionary_size / groups, ph, pw] to CSR.
LookupTensors from_dense(const torch::Tensor& weight, const LookupProblem& problem) {
  const torch::Tensor by_row = weight.permute({0, 2, 3, 1}).reshape({-1, weight.size(1)});
  const torch::Tensor places = by_row.nonzero();
  const torch::Tensor rows = places.select(1, 0), entries = places.select(1, 1);
  return from_rows(rows, entries + first_entries(rows, problem), by_row.index({rows, entries}), by_row.size(0));
}

torch::Tensor to_dense(const LookupTensors& lookups, const LookupProblem& problem) {
  const Conv2dProblem stage = problem.lookup_stage();
  const torch::Tensor rows = rows_of(lookups);
  const torch::Tensor entries = lookups.indices.to(torch::kLong) - first_entries(rows, problem);
  torch::Tensor by_row = torch::zeros({stage.out_channels * stage.taps(), stage.in_channels_per_group()},
                                      lookups.coefficients.options());
  by_row.index_put_({rows, entries}, lookups.coefficients);
  return by_row.view({stage.out_channels, stage.kernel[0], stage.kernel[1], -1}).permute({0, 3, 1, 2}).contiguous();
}

// Throws std::invalid_argument unless these are lookups of the problem.
void check(const LookupTensors& lookups, const LookupProblem& problem) {
  const Conv2dProblem stage = problem.lookup_stage();
  const std::int64_t rows = stage.out_channels * stage.taps();
  if (lookups.offsets.numel() != rows + 1) {
    refuse("lookup_offsets has " + std::to_string(lookups.offsets.numel()) + " elements: this layer's has " + std::to_string(rows + 1));
  }
  if (lookups.indices.numel() != lookups.coefficients.numel()) {
    refuse("there are " + std::to_string(lookups.indices.numel()) + " lookup indices and " +
           std::to_string(lookups.coefficients.numel()) + " coefficients: it must be the same number");
  }
  const auto offsets = to_vector<std::int32_t>(lookups.offsets, torch::kInt);
  const auto indices = to_vector<std::int32_t>(lookups.indices, torch::kInt);
  try {
    check_lookups(problem, offsets.data(), indices.data(), lookups.indices.numel());
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  }
}

double uniform_bound(double variance) { return std::sqrt(3.0 * variance); }

}  // namespace

LookupConv2dImpl::LookupConv2dImpl(LookupConv2dOptions options) : options(std::move(options)) { LookupConv2dImpl::reset(); }

void LookupConv2dImpl::resolve_padding() {
  Conv2dProblem& conv = problem_.conv;
  padding_.assign(4, 0);
  if (const auto* numbers = std::get_if<torch::ExpandingArray<2>>(&options.padding())) {
    const Pair both = to_pair(*numbers);
    padding_ = {both[1], both[1], both[0], both[0]};
  } else if (std::holds_alternative<torch::enumtype::kSame>(options.padding())) {
    if (conv.stride != Pair{1, 1}) refuse("padding is 'same' with a stride above 1: it must be numbers then");
    for (int axis = 0; axis < 2; ++axis) {
      const std::int64_t total = conv.dilation[axis] * (conv.kernel[axis] - 1);
      padding_[2 - 2 * axis] = total / 2;
      padding_[3 - 2 * axis] = total - total / 2;
    }
  }
  const bool zeros = std::holds_alternative<torch::enumtype::kZeros>(options.padding_mode());
  pads_first_ = !zeros || padding_[0] != padding_[1] || padding_[2] != padding_[3];
  if (!pads_first_) conv.padding = {padding_[2], padding_[0]};
}

void LookupConv2dImpl::reset() {
  problem_ = {.conv = {.in_channels = options.in_channels(), .out_channels = options.out_channels(),
                       .kernel = to_pair(options.kernel_size()), .stride = to_pair(options.stride()),
                       .dilation = to_pair(options.dilation()), .groups = options.groups(), .bias = options.bias()},
              .dictionary_size = options.dictionary_size(),
              .granularity = options.granularity()};
  resolve_padding();
  if (std::ranges::min(padding_) < 0) refuse("padding is negative: it must be at least 0");
  Conv2dProblem& conv = problem_.conv;
  conv.height = std::max<std::int64_t>(1, conv.dilation[0] * (conv.kernel[0] - 1) + 1);
  conv.width = std::max<std::int64_t>(1, conv.dilation[1] * (conv.kernel[1] - 1) + 1);
  try {
    validate(problem_);
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  }
  if (!(options.initial_sparsity() >= 0.0 && options.initial_sparsity() < 1.0)) {
    refuse("initial_sparsity is " + std::to_string(options.initial_sparsity()) + ": it must be at least 0 and below 1");
  }
  if (options.sparsity() < 0 || options.sparsity() > problem_.dictionary_size_per_group()) {
    refuse("sparsity is " + std::to_string(options.sparsity()) + ": it must be 0 to dictionary_size / groups = " +
           std::to_string(problem_.dictionary_size_per_group()));
  }

  dictionary = register_parameter("dictionary", torch::empty(weight_sizes(problem_.dictionary_stage())), options.train_dictionary());
  if (pooled()) {
    lookup_weight = register_parameter("lookup_weight", torch::empty(weight_sizes(problem_.lookup_stage())), options.train_lookups());
  } else {
    LookupTensors drawn = draw_lookups();
    lookup_offsets = register_buffer("lookup_offsets", drawn.offsets);
    lookup_indices = register_buffer("lookup_indices", drawn.indices);
    lookup_coefficients = register_parameter("lookup_coefficients", drawn.coefficients, options.train_lookups());
  }
  bias = options.bias() ? register_parameter("bias", torch::empty({conv.out_channels}))
                        : register_parameter("bias", torch::Tensor(), /*requires_grad=*/false);
  reset_parameters();
}

LookupTensors LookupConv2dImpl::draw_lookups() const {
  const Conv2dProblem stage = problem_.lookup_stage();
  const std::int64_t row_count = stage.out_channels * stage.taps(), sparsity = options.sparsity();
  const torch::Tensor order = torch::rand({row_count, stage.in_channels_per_group()});
  const torch::Tensor entries = std::get<0>(std::get<1>(order.topk(sparsity, 1)).sort(1)).reshape(-1);
  const torch::Tensor rows = torch::arange(row_count).repeat_interleave(sparsity);
  return from_rows(rows, entries + first_entries(rows, problem_), torch::empty({row_count * sparsity}), row_count);
}

void LookupConv2dImpl::reset_parameters() {
  // Conv2d's weights have variance 1 / (3 fan_in). Here D keeps the variance of its input and P brings that third.
  const Conv2dProblem dictionary_stage = problem_.dictionary_stage(), stage = problem_.lookup_stage();
  const auto draw = [](torch::Tensor& tensor, double bound) { torch::nn::init::uniform_(tensor, -bound, bound); };
  draw(dictionary, uniform_bound(1.0 / static_cast<double>(dictionary_stage.in_channels_per_group() * dictionary_stage.taps())));
  if (pooled()) {
    draw(lookup_weight, 1.0 / std::sqrt(static_cast<double>(stage.in_channels_per_group() * stage.taps())));
  } else {
    draw(lookup_coefficients, 1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(options.sparsity(), 1) * stage.taps())));
  }
  const Conv2dProblem& conv = problem_.conv;
  if (bias.defined()) draw(bias, 1.0 / std::sqrt(static_cast<double>(conv.in_channels_per_group() * conv.taps())));
}

torch::Tensor LookupConv2dImpl::forward(const torch::Tensor& input) {
  TORCH_CHECK_VALUE(input.dim() == 3 || input.dim() == 4, "LookupConv2d: input has ", input.dim(),
                    " dimensions: it must be [batch, in_channels, height, width] or [in_channels, height, width]");
  torch::Tensor x = input.dim() == 4 ? input : input.unsqueeze(0);
  TORCH_CHECK_VALUE(x.size(1) == options.in_channels(), "LookupConv2d: input has ", x.size(1), " channels: this layer takes ",
                    options.in_channels());
  if (pads_first_) {
    const auto mode = std::visit(
        [](const auto& padding_mode) -> torch::nn::functional::PadFuncOptions::mode_t {
          if constexpr (std::is_same_v<std::decay_t<decltype(padding_mode)>, torch::enumtype::kZeros>) return torch::kConstant;
          else return padding_mode;
        },
        options.padding_mode());
    x = torch::nn::functional::pad(x, torch::nn::functional::PadFuncOptions(padding_).mode(mode));
  }
  const Conv2dProblem& conv = problem_.conv;
  const auto convolve = [](const Conv2dProblem& p, const torch::Tensor& in, const torch::Tensor& weight, const torch::Tensor& b) {
    return torch::conv2d(in, weight, b, p.stride, p.padding, p.dilation, p.groups);
  };
  torch::Tensor y;
  if (options.evaluation() == LookupEvaluation::filters) {
    y = convolve(conv, x, filters().contiguous(x.suggest_memory_format()), bias);
  } else if (pooled()) {
    const torch::Tensor s = convolve(problem_.dictionary_stage(), x, dictionary, {});
    y = convolve(problem_.lookup_stage(), s, thresholded_weight(), bias);
  } else {
    y = lookup_conv2d(x, dictionary, lookup_offsets, lookup_indices, lookup_coefficients,
                      bias.defined() ? std::optional<torch::Tensor>(bias) : std::nullopt, conv.kernel, conv.stride,
                      conv.padding, conv.dilation, conv.groups);
  }
  return input.dim() == 4 ? y : y.squeeze(0);
}

torch::Tensor LookupConv2dImpl::filters() const {
  const Conv2dProblem& conv = problem_.conv;
  const std::int64_t channels = conv.in_channels_per_group(), groups = conv.groups;
  const torch::Tensor entries = dictionary.flatten(1);
  torch::Tensor rows;  // (output channel, r, c) of P by the elements of an entry
  if (pooled()) {
    const torch::Tensor p = thresholded_weight().permute({0, 2, 3, 1}).reshape({groups, -1, problem_.dictionary_size_per_group()});
    rows = p.matmul(entries.view({groups, -1, entries.size(1)}));
  } else {
    rows = lookup_filters(entries, lookup_offsets, lookup_indices, lookup_coefficients, by_entry());
  }
  if (problem_.granularity == Granularity::filter) return rows.view({conv.out_channels, channels, conv.kernel[0], conv.kernel[1]});
  return rows.view({conv.out_channels, conv.kernel[0], conv.kernel[1], channels}).permute({0, 3, 1, 2});
}

const LookupsByEntry& LookupConv2dImpl::by_entry() const {
  // The indices that it was made of are held, so that no others can lie at their address.
  const bool same = by_entry_indices_.defined() && by_entry_indices_.const_data_ptr() == lookup_indices.const_data_ptr() &&
                    by_entry_version_ == lookup_indices._version();
  if (!same) {
    by_entry_ = lookups_by_entry(lookup_offsets, lookup_indices, options.dictionary_size());
    by_entry_indices_ = lookup_indices.detach();
    by_entry_version_ = lookup_indices._version();
  }
  return by_entry_;
}

double LookupConv2dImpl::sparse_th() const {
  const Conv2dProblem stage = problem_.lookup_stage();
  return options.initial_sparsity() / std::sqrt(static_cast<double>(stage.in_channels_per_group() * stage.taps()));
}

torch::Tensor LookupConv2dImpl::thresholded_weight() const {
  return at::hardshrink(lookup_weight, sparse_th());  // one pass over P forward, one backward
}

torch::Tensor LookupConv2dImpl::sparsity_loss() const {
  return pooled() ? thresholded_weight().norm(1) * sparse_th() : torch::zeros({}, dictionary.options());
}

LookupTensors LookupConv2dImpl::lookups() const {
  const torch::NoGradGuard no_grad;
  if (pooled()) return from_dense(thresholded_weight(), problem_);
  return {lookup_offsets.clone(), lookup_indices.clone(), lookup_coefficients.detach().clone()};
}

void LookupConv2dImpl::set_lookups(const LookupTensors& lookups) {
  const torch::NoGradGuard no_grad;
  check(lookups, problem_);
  const torch::Device device = dictionary.device();
  const LookupTensors own{lookups.offsets.to(device, torch::kInt, false, true), lookups.indices.to(device, torch::kInt, false, true),
                          lookups.coefficients.detach().to(device, dictionary.scalar_type(), false, true)};
  if (pooled()) {
    const std::int64_t lost = own.coefficients.abs().le(sparse_th()).sum().item<std::int64_t>();
    if (lost > 0) {
      refuse(std::to_string(lost) + " coefficients are at or below sparse_th = " + std::to_string(sparse_th()) +
             " and would count as zero: lower initial_sparsity, or prune first");
    }
    lookup_weight.set_data(to_dense(own, problem_));
    return;
  }
  lookup_offsets.set_data(own.offsets);
  lookup_indices.set_data(own.indices);
  lookup_coefficients.mutable_grad().reset();  // of the old size
  lookup_coefficients.set_data(own.coefficients);
}

void LookupConv2dImpl::prune(std::int64_t sparsity) {
  if (pooled()) refuse("prune is for method fixed: pooled prunes by its threshold");
  if (sparsity < 0) refuse("prune to " + std::to_string(sparsity) + " lookups: it must be at least 0");
  const torch::NoGradGuard no_grad;
  const LookupTensors all = lookups();
  const torch::Tensor rows = rows_of(all);
  // By row, then by |coefficient| from the largest: a lookup's rank in its row.
  const torch::Tensor by_size = all.coefficients.abs().argsort(/*stable=*/true, 0, /*descending=*/true);
  const torch::Tensor order = by_size.index({rows.index({by_size}).argsort(/*stable=*/true, 0, /*descending=*/false)});
  const torch::Tensor rank = torch::arange(order.numel(), order.options()) - all.offsets.to(torch::kLong).index({rows.index({order})});
  const torch::Tensor kept = std::get<0>(order.index({rank.lt(sparsity)}).sort());
  set_lookups(from_rows(rows.index({kept}), all.indices.index({kept}), all.coefficients.index({kept}), all.offsets.numel() - 1));
}

LookupWeights LookupConv2dImpl::weights() const {
  const LookupTensors table = lookups();
  const Conv2dProblem stage = problem_.lookup_stage();
  const auto indices = to_vector<std::int32_t>(table.indices, torch::kInt);
  return {.dictionary = to_vector<float>(dictionary, torch::kFloat),
          .lookups = {.out_channels = stage.out_channels, .kernel = stage.kernel, .dictionary_size = problem_.dictionary_size,
                      .row_offsets = to_vector<std::int32_t>(table.offsets, torch::kInt),
                      .indices = {indices.begin(), indices.end()},
                      .coefficients = to_vector<float>(table.coefficients, torch::kFloat)},
          .bias = bias.defined() ? to_vector<float>(bias, torch::kFloat) : std::vector<float>()};
}

LookupProblem LookupConv2dImpl::problem(std::int64_t batch, std::int64_t height, std::int64_t width) const {
  if (pads_first_) refuse("padding that is not zeros, the same on both sides, is no part of a problem: pad the input first");
  LookupProblem sized = problem_;
  sized.conv.batch = batch;
  sized.conv.height = height;
  sized.conv.width = width;
  validate(sized);
  return sized;
}

void LookupConv2dImpl::load(torch::serialize::InputArchive& archive) {
  Module::load(archive);
  const auto expect = [](const char* name, const torch::Tensor& tensor, const std::vector<std::int64_t>& sizes) {
    if (tensor.sizes() != sizes) refuse(c10::str(name, " was read as ", tensor.sizes(), ": this layer's is ", c10::IntArrayRef(sizes)));
  };
  expect("dictionary", dictionary, weight_sizes(problem_.dictionary_stage()));
  if (bias.defined()) expect("bias", bias, {options.out_channels()});
  if (pooled()) expect("lookup_weight", lookup_weight, weight_sizes(problem_.lookup_stage()));
  else check({lookup_offsets, lookup_indices, lookup_coefficients}, problem_);
}

void LookupConv2dImpl::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  Module::to(device, non_blocking);
  to(dtype, non_blocking);
}

void LookupConv2dImpl::to(torch::Dtype dtype, bool non_blocking) {
  // LibTorch's own conversion would make floats of the integer buffers, too.
  const torch::Tensor offsets = pooled() ? torch::Tensor() : lookup_offsets.detach();
  const torch::Tensor indices = pooled() ? torch::Tensor() : lookup_indices.detach();
  Module::to(dtype, non_blocking);
  if (pooled()) return;
  lookup_offsets.set_data(offsets);
  lookup_indices.set_data(indices);
}

void LookupConv2dImpl::pretty_print(std::ostream& stream) const {
  stream << "lcnn::LookupConv2d(" << options.in_channels() << ", " << options.out_channels()
         << ", kernel_size=" << options.kernel_size() << ", stride=" << options.stride();
  if (std::ranges::max(padding_) > 0) stream << ", padding=" << c10::IntArrayRef(padding_);
  if (problem_.conv.dilation != Pair{1, 1}) stream << ", dilation=" << options.dilation();
  if (options.groups() != 1) stream << ", groups=" << options.groups();
  if (!options.bias()) stream << ", bias=false";
  if (!std::holds_alternative<torch::enumtype::kZeros>(options.padding_mode())) {
    stream << ", padding_mode=" << torch::enumtype::get_enum_name(options.padding_mode());
  }
  stream << ", dictionary_size=" << options.dictionary_size() << ", granularity=" << to_string(options.granularity())
         << ", method=" << (pooled() ? "pooled" : "fixed") << ')';
}

LookupConv2d converted(const LookupConv2d& layer, LookupMethod method) {
  const torch::NoGradGuard no_grad;
  LookupConv2dOptions options = layer->options;
  LookupConv2d copy(options.method(method));
  copy->to(layer->dictionary.device(), layer->dictionary.scalar_type());
  copy->train(layer->is_training());
  copy->dictionary.set_data(layer->dictionary.detach().clone());
  if (copy->bias.defined()) copy->bias.set_data(layer->bias.detach().clone());
  copy->set_lookups(layer->lookups());
  return copy;
}

}  // namespace lcnn
