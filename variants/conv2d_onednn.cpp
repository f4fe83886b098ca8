// Conv2d on the CPU: oneDNN through LibTorch, in plain, channels-last and oneDNN's own blocked layout; and dense_filters by it.
#include <ATen/Config.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/mkldnn_convolution.h>
#include <ATen/ops/mkldnn_reorder_conv2d_weight.h>
#include <c10/core/InferenceMode.h>

#include <optional>
#include <unordered_map>

#include "variants/runtime.h"
#include "variants/tensor_view.h"
#include "variants/variant_table.h"

namespace lcnn::cpu {
namespace {

class Conv2dOnednn final : public PreparedConvolution {
 public:
  Conv2dOnednn(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
               const Execution&)
      : problem_(problem.conv), precision_(precision), layout_(layout) {
    const c10::InferenceMode no_autograd;
    const DenseWeights dense = dense_weights(problem, weights, precision);
    weight_ = make_weight(problem_, dense.weight, precision, layout, at::kCPU);
    bias_ = make_bias(dense.bias, precision, at::kCPU);
  }

  void run(const void* x, void*, void*) override {
    const c10::InferenceMode no_autograd;
    output_.reset();
    output_ = at::conv2d(view_input(problem_, x, precision_, layout_, at::kCPU), weight_, optional_bias(),
                         problem_.stride, problem_.padding, problem_.dilation, problem_.groups);
  }

  bool owns_output() const override { return true; }
  void emit_output(void* y, void*) override {
    view_output(problem_, y, precision_, layout_, at::kCPU).copy_(output_);
  }

 private:
  std::optional<at::Tensor> optional_bias() const { return bias_.defined() ? std::optional(bias_) : std::nullopt; }

  Conv2dProblem problem_;
  Precision precision_;
  Layout layout_;
  at::Tensor weight_, bias_, output_;
};

// Input, weights and output stay in oneDNN's blocked layout; the reorders are outside the timed part.
class Conv2dOnednnBlocked final : public PreparedConvolution {
 public:
  Conv2dOnednnBlocked(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
                      const Execution&)
      : problem_(problem.conv), precision_(precision), layout_(layout) {
    const c10::InferenceMode no_autograd;
    const DenseWeights dense = dense_weights(problem, weights, precision);
    weight_ = at::mkldnn_reorder_conv2d_weight(
        make_weight(problem_, dense.weight, precision, layout, at::kCPU).to_mkldnn(), problem_.padding,
        problem_.stride, problem_.dilation, problem_.groups,
        at::IntArrayRef{problem_.batch, problem_.in_channels, problem_.height, problem_.width});
    if (!dense.bias.empty()) bias_ = make_bias(dense.bias, precision, at::kCPU).to_mkldnn();
  }

  void adopt_input(const void* x, void*) override {
    const c10::InferenceMode no_autograd;
    inputs_[x] = view_input(problem_, x, precision_, layout_, at::kCPU).contiguous().to_mkldnn();
  }

  void run(const void* x, void*, void*) override {
    const c10::InferenceMode no_autograd;
    output_.reset();
    output_ = at::mkldnn_convolution(inputs_.at(x), weight_, bias_, problem_.padding, problem_.stride,
                                     problem_.dilation, problem_.groups);
  }

  bool owns_output() const override { return true; }
  void emit_output(void* y, void*) override {
    view_output(problem_, y, precision_, layout_, at::kCPU).copy_(output_.to_dense());
  }

 private:
  Conv2dProblem problem_;
  Precision precision_;
  Layout layout_;
  at::Tensor weight_, output_;
  std::optional<at::Tensor> bias_;
  std::unordered_map<const void*, at::Tensor> inputs_;
};

std::string why_not_onednn(const LookupProblem& problem, Precision precision, Layout) {
  if (!AT_MKLDNN_ENABLED()) return "this LibTorch was built without oneDNN";
  return why_no_cpu_convolution(problem.conv, precision);
}

std::string why_not_blocked(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "the blocked layout takes the place of channels-last";
  return why_not_onednn(problem, precision, layout);
}

}  // namespace

const Variant dense_filters{.name = kDenseVariant, .device = Device::cpu, .why_unsupported = why_not_onednn, .prepare = prepare_as<Conv2dOnednn>};

const Variant conv2d_onednn{.name = "onednn",
                            .kind = VariantKind::conv2d,
                            .device = Device::cpu,
                            .computes = Computes::dense_weights,
                            .why_unsupported = why_not_onednn,
                            .prepare = prepare_as<Conv2dOnednn>};

const Variant conv2d_onednn_blocked{.name = "onednn_blocked",
                                    .kind = VariantKind::conv2d,
                                    .device = Device::cpu,
                                    .computes = Computes::dense_weights,
                                    .why_unsupported = why_not_blocked,
                                    .prepare = prepare_as<Conv2dOnednnBlocked>};

}  // namespace lcnn::cpu
