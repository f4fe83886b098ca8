// LookupConv2d as a LibTorch module: Conv2d's options, a dictionary, and two ways of training the lookups.
//
//   pooled  D and a dense P are trained (paper section 3.3). Entries with |P| <= sparse_th() count as zero and get no
//           gradient; sparsity_loss() pulls the others down. converted(layer, fixed) makes lookups of what is left.
//   fixed   the lookups are given; D and their coefficients are trained through lcnn::lookup_conv2d. prune() keeps the
//           strongest lookups of each position. converted(layer, pooled) makes a dense P of them.
//
// Parameters and buffers, as torch::save and torch::load store them:
//   dictionary           [dictionary_size, in_channels / groups, dh, dw]
//   lookup_weight        pooled: P [out_channels, dictionary_size / groups, ph, pw]
//   lookup_offsets, lookup_indices, lookup_coefficients   fixed: P as CSR (kernels/lookup_table.h), int32 indices
//   bias                 [out_channels]
// where D is 1x1 and P kernel_size (granularity vector), or D kernel_size and P 1x1 (filter).
#pragma once

#include <torch/arg.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/options/conv.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <vector>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"
#include "kernels/weights.h"
#include "variants/lookup_filters_op.h"

namespace lcnn {

enum class LookupMethod { pooled, fixed };

// What computes the layer's function, the same by both but for rounding.
//   stages    S = conv(X, D), then the lookups into S (eq. 4-7): `pooled` by two dense convolutions, `fixed` by sparse kernels
//   filters   the filters that D and P stand for (eq. 1), then Conv2d with them. Filters cost the same for every batch, so that
//             a step of training takes about what Conv2d's takes; a single image is faster by stages.
enum class LookupEvaluation { stages, filters };

struct LookupConv2dOptions {
  using padding_t = torch::nn::Conv2dOptions::padding_t;            // numbers, torch::kValid or torch::kSame
  using padding_mode_t = torch::nn::Conv2dOptions::padding_mode_t;  // torch::kZeros, kReflect, kReplicate, kCircular

  LookupConv2dOptions(std::int64_t in_channels, std::int64_t out_channels, torch::ExpandingArray<2> kernel_size,
                      std::int64_t dictionary_size)
      : in_channels_(in_channels),
        out_channels_(out_channels),
        kernel_size_(kernel_size),
        dictionary_size_(dictionary_size) {}

  TORCH_ARG(std::int64_t, in_channels);
  TORCH_ARG(std::int64_t, out_channels);
  TORCH_ARG(torch::ExpandingArray<2>, kernel_size);
  TORCH_ARG(torch::ExpandingArray<2>, stride) = 1;
  TORCH_ARG(padding_t, padding) = 0;

 public:
  LookupConv2dOptions& padding(std::initializer_list<std::int64_t> numbers) { return padding(at::IntArrayRef(numbers)); }

  TORCH_ARG(torch::ExpandingArray<2>, dilation) = 1;
  TORCH_ARG(std::int64_t, groups) = 1;
  TORCH_ARG(bool, bias) = true;
  TORCH_ARG(padding_mode_t, padding_mode) = torch::kZeros;

  TORCH_ARG(std::int64_t, dictionary_size);
  TORCH_ARG(Granularity, granularity) = Granularity::vector;
  TORCH_ARG(LookupMethod, method) = LookupMethod::pooled;
  // pooled: the fraction of P that counts as zero at the start, and so the threshold. In [0, 1).
  TORCH_ARG(double, initial_sparsity) = 0.5;
  TORCH_ARG(LookupEvaluation, evaluation) = LookupEvaluation::stages;
  // fixed: lookups per position (output channel, r, c) that are drawn at the start.
  TORCH_ARG(std::int64_t, sparsity) = 1;
  // false holds D, or the lookups' P or coefficients, as they are: transfer and few-shot learning (paper 4.3-4.4).
  TORCH_ARG(bool, train_dictionary) = true;
  TORCH_ARG(bool, train_lookups) = true;
};

// P as CSR: int32 [rows + 1], int32 [lookups], floating-point [lookups]; a row is (output channel, r, c).
struct LookupTensors {
  torch::Tensor offsets, indices, coefficients;
};

class LookupConv2dImpl : public torch::nn::Cloneable<LookupConv2dImpl> {
 public:
  // Throws std::invalid_argument, one line, for options that cannot be.
  explicit LookupConv2dImpl(LookupConv2dOptions options);

  // input [batch, in_channels, height, width] or [in_channels, height, width] -> output, as Conv2d.
  torch::Tensor forward(const torch::Tensor& input);

  void reset() override;
  // Draws all parameters anew, so that the layer's output varies as much as a freshly drawn Conv2d's.
  void reset_parameters();
  void pretty_print(std::ostream& stream) const override;

  // As every module's; load also checks that what it read are lookups of this layer (std::invalid_argument), and a change
  // of type leaves integers alone.
  void load(torch::serialize::InputArchive& archive) override;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  using torch::nn::Module::to;

  // W [out_channels, in_channels / groups, kernel_size] that D and P stand for (eq. 1), with gradients.
  torch::Tensor filters() const;

  // pooled: initial_sparsity / sqrt(ph * pw * dictionary_size / groups) (paper section 3.3).
  double sparse_th() const;
  // pooled: sparse_th * sum of |P| over what is not zero; add it to the loss, times lambda. Zero for `fixed`.
  torch::Tensor sparsity_loss() const;

  // P's non-zeros, without gradients; indices of a row ascend.
  LookupTensors lookups() const;
  // Takes P over, in this layer's type and on its device. Throws std::invalid_argument when these are not lookups of this
  // layer, or when `pooled` would lose coefficients at or below sparse_th. `fixed` then has other parameters than before:
  // make optimizers anew.
  void set_lookups(const LookupTensors& lookups);
  // fixed: keeps the `sparsity` lookups of the largest |coefficient| at each position, index and coefficient together, as
  // set_lookups. Throws std::invalid_argument for `pooled` and for sparsity below 0.
  void prune(std::int64_t sparsity);

  // D, P and bias as variants take them, in host memory.
  LookupWeights weights() const;
  // What variants compute for an input of that size. Throws std::invalid_argument when the padding is not zeros, the same
  // on both sides.
  LookupProblem problem(std::int64_t batch, std::int64_t height, std::int64_t width) const;

  LookupConv2dOptions options;
  torch::Tensor dictionary, bias;
  torch::Tensor lookup_weight;                                        // pooled
  torch::Tensor lookup_offsets, lookup_indices, lookup_coefficients;  // fixed

 private:
  bool pooled() const { return options.method() == LookupMethod::pooled; }
  void resolve_padding();
  LookupTensors draw_lookups() const;
  torch::Tensor thresholded_weight() const;
  const LookupsByEntry& by_entry() const;

  LookupProblem problem_;              // shapes of D and P; of an input as small as can be
  std::vector<std::int64_t> padding_;  // left, right, top, bottom
  // Made of lookup_indices when filters are first asked for, and again when those have changed.
  mutable LookupsByEntry by_entry_;
  mutable torch::Tensor by_entry_indices_;
  mutable std::uint32_t by_entry_version_ = 0;
  bool pads_first_ = false;            // padding that a convolution cannot do by itself
};
TORCH_MODULE(LookupConv2d);

// A copy of the layer with that method, the same function: pooled to fixed and back loses nothing. It has parameters of
// its own. Throws std::invalid_argument when `pooled` would lose coefficients at or below sparse_th.
LookupConv2d converted(const LookupConv2d& layer, LookupMethod method);

}  // namespace lcnn
