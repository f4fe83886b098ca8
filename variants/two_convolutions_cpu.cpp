// What a user would reach for instead on a CPU: two library convolutions, the second with P as a dense weight.
#include <ATen/ops/conv2d.h>
#include <c10/core/InferenceMode.h>

#include <optional>

#include "variants/runtime.h"
#include "variants/tensor_view.h"
#include "variants/variant_table.h"

namespace lcnn::cpu {
namespace {

class TwoConvolutions final : public PreparedConvolution {
 public:
  TwoConvolutions(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
                  const Execution&)
      : dictionary_stage_(problem.dictionary_stage()),
        lookup_stage_(problem.lookup_stage()),
        precision_(precision),
        layout_(layout) {
    const c10::InferenceMode no_autograd;
    dictionary_ = make_weight(dictionary_stage_, weights.dictionary, precision, layout, at::kCPU);
    lookups_ = make_weight(lookup_stage_, dense_lookups(problem, weights.lookups), precision, layout, at::kCPU);
    if (!weights.bias.empty()) bias_ = make_bias(weights.bias, precision, at::kCPU);
  }

  void run(const void* x, void*, void*) override {
    const c10::InferenceMode no_autograd;
    output_.reset();
    const at::Tensor input = view_input(dictionary_stage_, x, precision_, layout_, at::kCPU);
    output_ = convolve(lookup_stage_, convolve(dictionary_stage_, input, dictionary_, std::nullopt), lookups_, bias_);
  }

  bool owns_output() const override { return true; }
  void emit_output(void* y, void*) override {
    view_output(lookup_stage_, y, precision_, layout_, at::kCPU).copy_(output_);
  }

 private:
  static at::Tensor convolve(const Conv2dProblem& p, const at::Tensor& x, const at::Tensor& weight,
                             const std::optional<at::Tensor>& bias) {
    return at::conv2d(x, weight, bias, p.stride, p.padding, p.dilation, p.groups);
  }

  Conv2dProblem dictionary_stage_, lookup_stage_;
  Precision precision_;
  Layout layout_;
  at::Tensor dictionary_, lookups_, output_;
  std::optional<at::Tensor> bias_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  // Results differ from run to run (LibTorch 2.11); why is not known.
  if (precision == Precision::bf16 && layout == Layout::nhwc && problem.dictionary_size_per_group() == 1) {
    return "the library's bf16 is wrong for S of one entry, channels-last";
  }
  const std::string reason = why_no_cpu_convolution(problem.dictionary_stage(), precision);
  return reason.empty() ? why_no_cpu_convolution(problem.lookup_stage(), precision) : reason;
}

}  // namespace

const Variant two_convolutions{
    .name = "two_convolutions",
    .kind = VariantKind::peer,
    .device = Device::cpu,
    .why_unsupported = why_unsupported,
    .prepare = prepare_as<TwoConvolutions>};

}  // namespace lcnn::cpu
