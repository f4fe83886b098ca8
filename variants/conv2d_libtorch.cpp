// Conv2d on CUDA as LibTorch users get it: cuDNN autotuned without a limit (cudnn.benchmark), then the bias.
#include <ATen/Context.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ops/cudnn_convolution.h>
#include <c10/core/InferenceMode.h>

#include "variants/runtime.h"
#include "variants/tensor_view.h"
#include "variants/variant_table.h"

namespace lcnn::cuda {
namespace {

class Conv2dLibtorch final : public PreparedConvolution {
 public:
  Conv2dLibtorch(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
                 const Execution& execution)
      : problem_(problem.conv), precision_(precision), layout_(layout), tune_(execution.tuning != Tuning::none) {
    const c10::InferenceMode no_autograd;
    const CurrentStream current(execution.stream);
    at::globalContext().setBenchmarkLimitCuDNN(0);  // every engine, not ten
    const DenseWeights dense = dense_weights(problem, weights, precision);
    weight_ = make_weight(problem_, dense.weight, precision, layout, device_);
    bias_ = make_bias(dense.bias, precision, device_);
    if (bias_.defined()) bias_ = bias_.view({1, problem_.out_channels, 1, 1});
    autotune(execution);
  }

  // What at::conv2d does on CUDA, into memory of the caller's.
  void run(const void* x, void* y, void* stream) override {
    const c10::InferenceMode no_autograd;
    const CurrentStream current(stream);
    at::Tensor out = view_output(problem_, y, precision_, layout_, device_);
    at::cudnn_convolution_out(out, view_input(problem_, x, precision_, layout_, device_), weight_, problem_.padding,
                              problem_.stride, problem_.dilation, problem_.groups, /*benchmark=*/tune_,
                              /*deterministic=*/false, /*allow_tf32=*/precision_ == Precision::tf32);
    if (bias_.defined()) out.add_(bias_);
  }

 private:
  // LibTorch tunes on a shape's first call; done here, so that no run or capture does it.
  void autotune(const Execution& execution) {
    const std::int64_t bytes = element_bytes(precision_);
    const Buffer x(*execution.allocator, problem_.input_elements() * bytes, MemoryKind::workspace);
    const Buffer y(*execution.allocator, problem_.output_elements() * bytes, MemoryKind::workspace);
    view_input(problem_, x.as<void>(), precision_, layout_, device_).normal_();
    run(x.as<void>(), y.as<void>(), execution.stream);
    at::cuda::getCurrentCUDAStream().synchronize();
  }

  Conv2dProblem problem_;
  Precision precision_;
  Layout layout_;
  bool tune_;
  at::Device device_{at::kCUDA, 0};
  at::Tensor weight_, bias_;
};

}  // namespace

const Variant conv2d_libtorch{.name = "libtorch",
                              .kind = VariantKind::conv2d,
                              .device = Device::cuda,
                              .computes = Computes::dense_weights,
                              .why_unsupported = [](const LookupProblem&, Precision, Layout) { return std::string(); },
                              .prepare = prepare_as<Conv2dLibtorch>};

}  // namespace lcnn::cuda
