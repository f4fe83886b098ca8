// naive_sparse: one thread per output, the dictionary entry's dot product recomputed for every lookup.
//
// The algorithm of LCNN-pytorch (take2), kept as the fixed point of comparison: lookups * C/groups * dh * dw
// multiplications, no fewer than Conv2d's at one lookup per position, because S is never formed. Bound: its loads.
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/stage_shape.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;

// S at one position: one entry of the dictionary against the input under it.
template <typename T>
__device__ float entry_dot_product(const StageShape& stage, const T* image, const T* entry, int row, int column) {
  float sum = 0.0f;
  for (int c = 0; c < stage.in_channels_per_group; ++c) {
    for (int r = 0; r < stage.kernel_h; ++r) {
      const int h = row * stage.stride_h - stage.padding_h + r * stage.dilation_h;
      for (int s = 0; s < stage.kernel_w; ++s, ++entry) {
        const int w = column * stage.stride_w - stage.padding_w + s * stage.dilation_w;
        if (h < 0 || h >= stage.height || w < 0 || w >= stage.width) continue;
        sum += to_float(*entry) * to_float(image[(static_cast<std::int64_t>(c) * stage.height + h) * stage.width + w]);
      }
    }
  }
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    naive_sparse_kernel(StageShape dictionary_stage, StageShape lookup_stage, const T* __restrict__ x,
                        const T* __restrict__ dictionary, LookupView<T> lookups, T* __restrict__ y) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= lookup_stage.outputs()) return;
  const OutputPosition at = output_position<Layout::nchw>(lookup_stage, index);

  const int group = at.channel / lookup_stage.out_channels_per_group;
  const int entry_length = dictionary_stage.in_channels_per_group * dictionary_stage.kernel_h * dictionary_stage.kernel_w;
  const std::int64_t plane = static_cast<std::int64_t>(dictionary_stage.height) * dictionary_stage.width;
  const T* image = x + (static_cast<std::int64_t>(at.image) * dictionary_stage.in_channels +
                        group * dictionary_stage.in_channels_per_group) * plane;

  float sum = lookups.bias == nullptr ? 0.0f : to_float(lookups.bias[at.channel]);
  for (int r = 0; r < lookup_stage.kernel_h; ++r) {
    const int h = at.row * lookup_stage.stride_h - lookup_stage.padding_h + r * lookup_stage.dilation_h;
    if (h < 0 || h >= lookup_stage.height) continue;
    for (int s = 0; s < lookup_stage.kernel_w; ++s) {
      const int w = at.column * lookup_stage.stride_w - lookup_stage.padding_w + s * lookup_stage.dilation_w;
      if (w < 0 || w >= lookup_stage.width) continue;
      const int position = (at.channel * lookup_stage.kernel_h + r) * lookup_stage.kernel_w + s;
      for (int i = lookups.row_offsets[position]; i < lookups.row_offsets[position + 1]; ++i) {
        const T* entry = dictionary + static_cast<std::int64_t>(lookups.indices[i]) * entry_length;
        sum += to_float(lookups.coefficients[i]) * entry_dot_product(dictionary_stage, image, entry, h, w);
      }
    }
  }
  y[index] = from_float<T>(sum);
}

class NaiveSparse final : public PreparedConvolution {
 public:
  NaiveSparse(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout,
              const Execution& execution)
      : problem_(problem),
        precision_(precision),
        dictionary_(upload_as(weights.dictionary, precision, MemoryKind::weights, execution)),
        lookups_(weights, precision, execution) {}

  void run(const void* x, void* y, void* stream) override {
    const auto blocks = static_cast<unsigned>((problem_.conv.output_elements() + kThreads - 1) / kThreads);
    with_element(precision_, [&]<typename T>(T) {
      naive_sparse_kernel<T><<<blocks, kThreads, 0, as_stream(stream)>>>(
          StageShape(problem_.dictionary_stage()), StageShape(problem_.lookup_stage()), static_cast<const T*>(x),
          dictionary_.as<T>(), lookups_.view<T>(), static_cast<T*>(y));
    });
    check_launch("naive_sparse_kernel");
  }

 private:
  LookupProblem problem_;
  Precision precision_;
  Buffer dictionary_;
  DeviceLookups lookups_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported: it keeps the original's nchw";
  const std::string reason = why_not_tf32(precision);
  return reason.empty() ? why_not_16_bit_indices(problem) : reason;
}

}  // namespace

const Variant naive_sparse{.name = "naive_sparse",
                           .device = Device::cuda,
                           .why_unsupported = why_unsupported,
                           .prepare = prepare_as<NaiveSparse>};

}  // namespace lcnn::cuda
