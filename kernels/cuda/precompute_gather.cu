// precompute_gather: S = conv(X, D) by cuDNN, then one thread per output gathers over the lookups.
//
// S travels through device memory: written once, then read once per lookup, from the caches where it fits. Bound: the
// latency of dependent loads (offset, index, S) in the gather; lanes run along memory order, so stores are contiguous.
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/cudnn_convolution.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/stage_shape.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T, Layout kLayout>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(StageShape stage, Strides strides, const T* __restrict__ input_dictionary, LookupView<T> lookups,
                  T* __restrict__ y) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= stage.outputs()) return;
  const OutputPosition at = output_position<kLayout>(stage, index);
  const T* image = input_dictionary + at.image * strides.batch;

  float sum = lookups.bias == nullptr ? 0.0f : to_float(lookups.bias[at.channel]);
  for (int r = 0; r < stage.kernel_h; ++r) {
    const int h = at.row * stage.stride_h - stage.padding_h + r * stage.dilation_h;
    if (h < 0 || h >= stage.height) continue;
    for (int s = 0; s < stage.kernel_w; ++s) {
      const int w = at.column * stage.stride_w - stage.padding_w + s * stage.dilation_w;
      if (w < 0 || w >= stage.width) continue;
      const T* pixel = image + h * strides.row + w * strides.column;
      const int position = (at.channel * stage.kernel_h + r) * stage.kernel_w + s;
      const int last = lookups.row_offsets[position + 1];
      for (int i = lookups.row_offsets[position]; i < last; ++i) {
        sum += to_float(lookups.coefficients[i]) * to_float(pixel[lookups.indices[i] * strides.channel]);
      }
    }
  }
  y[index] = from_float<T>(sum);
}

class PrecomputeGather final : public PreparedConvolution {
 public:
  PrecomputeGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
                   const Execution& execution)
      : stage_(problem.lookup_stage()),
        precision_(precision),
        layout_(layout),
        dictionary_(problem.dictionary_stage(), weights.dictionary, {}, precision, layout, execution),
        lookups_(weights, precision, execution),
        input_dictionary_(*execution.allocator,
                          problem.dictionary_stage().output_elements() * element_bytes(precision),
                          MemoryKind::workspace) {}

  void run(const void* x, void* y, void* stream) override {
    dictionary_.run(x, input_dictionary_.as<void>(), stream);
    with_element(precision_, [&]<typename T>(T) {
      if (layout_ == Layout::nchw) launch_gather<T, Layout::nchw>(static_cast<T*>(y), stream);
      else launch_gather<T, Layout::nhwc>(static_cast<T*>(y), stream);
    });
    check_launch("gather_kernel");
  }

  std::string choice() const override { return "dictionary stage: " + dictionary_.choice(); }

 private:
  template <typename T, Layout kLayout>
  void launch_gather(T* y, void* stream) const {
    const auto blocks = static_cast<unsigned>((stage_.output_elements() + kThreads - 1) / kThreads);
    gather_kernel<T, kLayout><<<blocks, kThreads, 0, as_stream(stream)>>>(
        StageShape(stage_), Strides(kLayout, stage_.in_channels, stage_.height, stage_.width),
        input_dictionary_.as<T>(), lookups_.view<T>(), y);
  }

  Conv2dProblem stage_;
  Precision precision_;
  Layout layout_;
  CudnnConvolution dictionary_;
  DeviceLookups lookups_;
  Buffer input_dictionary_;  // S [batch, dictionary_size, H', W']
};

}  // namespace

const Variant precompute_gather{
    .name = "precompute_gather",
    .device = Device::cuda,
    .why_unsupported = [](const LookupProblem& problem, Precision, Layout) { return why_not_16_bit_indices(problem); },
    .prepare = prepare_as<PrecomputeGather>};

}  // namespace lcnn::cuda
