// What a user would reach for instead: Conv2d with W pruned to 2:4 structured sparsity, on sparse tensor cores.
//
// No library offers a 2:4 convolution, so it is LibTorch's 2:4 matrix product (cuSPARSELt) over unfolded channels-last
// input; a 1x1 convolution needs no unfolding. The product comes out with channels first and is turned into
// channels-last by a copy: cuSPARSELt's own transposed result takes 0.2 s here and its search fails (0.8.0, H100).
// Prunes W by magnitude: a different function, verified as such.
#include <ATen/ops/_cslt_compress.h>
#include <ATen/ops/_cslt_sparse_mm.h>
#include <ATen/ops/_cslt_sparse_mm_search.h>
#include <ATen/ops/constant_pad_nd.h>
#include <c10/core/InferenceMode.h>

#include <optional>

#include "variants/runtime.h"
#include "variants/silent_warnings.h"
#include "variants/tensor_view.h"
#include "variants/variant_table.h"

namespace lcnn::cuda {
namespace {

constexpr std::int64_t kMultiple = 16;  // of every extent, as cuSPARSELt asks for 16-bit types

std::int64_t pixels(const Conv2dProblem& p) { return p.batch * p.out_height() * p.out_width(); }
std::int64_t patch_length(const Conv2dProblem& p) { return p.in_channels * p.taps(); }

class Sparse24 final : public PreparedConvolution {
 public:
  Sparse24(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
           const Execution& execution)
      : problem_(problem.conv), precision_(precision), layout_(layout) {
    const c10::InferenceMode no_autograd;
    const CurrentStream current(execution.stream);
    const DenseWeights pruned = prune_2_4(problem_, dense_weights(problem, weights, precision));
    const at::Tensor weight = make_weight(problem_, pruned.weight, precision, Layout::nhwc, device_);
    compressed_ = at::_cslt_compress(weight.permute({0, 2, 3, 1}).reshape({problem_.out_channels, patch_length(problem_)}));
    if (!pruned.bias.empty()) bias_ = make_bias(pruned.bias, precision, device_);
    if (execution.tuning != Tuning::none) search(execution);
  }

  void run(const void* x, void* y, void* stream) override {
    const c10::InferenceMode no_autograd;
    const CurrentStream current(stream);
    const at::Tensor product = at::_cslt_sparse_mm(compressed_, unfold(x).t(), bias_, std::nullopt, std::nullopt,
                                                   /*transpose_result=*/false, algorithm_);
    view_output(problem_, y, precision_, layout_, device_)
        .permute({0, 2, 3, 1})
        .view({pixels(problem_), problem_.out_channels})
        .copy_(product.t());
  }

  std::string choice() const override { return "cuSPARSELt algorithm " + std::to_string(algorithm_); }

 private:
  // [pixels, kh * kw * in_channels]: a view for 1x1, else one copy (two with padding).
  at::Tensor unfold(const void* x) const {
    const Conv2dProblem& p = problem_;
    at::Tensor input = view_input(p, x, precision_, layout_, device_);
    if (p.padding != Pair{0, 0}) {
      input = at::constant_pad_nd(input, {p.padding[1], p.padding[1], p.padding[0], p.padding[0]}, 0);
    }
    const at::IntArrayRef stride = input.strides();
    return input
        .as_strided({p.batch, p.out_height(), p.out_width(), p.kernel[0], p.kernel[1], p.in_channels},
                    {stride[0], stride[2] * p.stride[0], stride[3] * p.stride[1], stride[2] * p.dilation[0],
                     stride[3] * p.dilation[1], stride[1]})
        .reshape({pixels(p), patch_length(p)});
  }

  void search(const Execution& execution) {
    const Buffer x(*execution.allocator, problem_.input_elements() * element_bytes(precision_), MemoryKind::workspace);
    view_input(problem_, x.as<void>(), precision_, layout_, device_).normal_();
    const SilentWarnings silent;  // the operator says that its name will change
    algorithm_ = at::_cslt_sparse_mm_search(compressed_, unfold(x.as<void>()).t(), bias_);
  }

  Conv2dProblem problem_;
  Precision precision_;
  Layout layout_;
  at::Device device_{at::kCUDA, 0};
  at::Tensor compressed_;
  std::optional<at::Tensor> bias_;
  std::int64_t algorithm_ = 0;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  const Conv2dProblem& p = problem.conv;
  if (element_bytes(precision) != 2) return "LibTorch's 2:4 sparsity takes fp16 and bf16 only";
  if (layout != Layout::nhwc) return "only channels-last unfolds without a transposition";
  if (p.groups != 1) return "groups are not supported";
  if (p.out_channels % kMultiple != 0 || patch_length(p) % kMultiple != 0 || pixels(p) % kMultiple != 0) {
    return "out_channels, in_channels * kh * kw and the number of output pixels must be multiples of 16";
  }
  return {};
}

}  // namespace

const Variant sparse_2_4{.name = "sparse_2_4",
                         .kind = VariantKind::peer,
                         .device = Device::cuda,
                         .computes = Computes::pruned_2_4,
                         .why_unsupported = why_unsupported,
                         .prepare = prepare_as<Sparse24>};

}  // namespace lcnn::cuda
