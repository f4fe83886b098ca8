#include "kernels/cuda/reference.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/stage_shape.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;

// Memory that no measured allocator sees.
class PlainAllocator final : public Allocator {
 public:
  void* allocate(std::int64_t bytes, MemoryKind) override {
    void* pointer = nullptr;
    check(cudaMalloc(&pointer, static_cast<std::size_t>(bytes)), "allocating for the float64 reference");
    return pointer;
  }
  void release(void* pointer) noexcept override { cudaFree(pointer); }
};

template <typename T>
__global__ void reference_conv2d_kernel(StageShape stage, Strides strides, const T* __restrict__ x,
                                        const float* __restrict__ weight, const float* __restrict__ bias,
                                        double* __restrict__ y) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= stage.outputs()) return;
  const OutputPosition at = output_position<Layout::nchw>(stage, index);
  const int channels = stage.in_channels_per_group;
  const T* image = x + at.image * strides.batch + at.channel / stage.out_channels_per_group * channels * strides.channel;
  const float* filter = weight + static_cast<std::int64_t>(at.channel) * channels * stage.kernel_h * stage.kernel_w;
  double sum = bias == nullptr ? 0.0 : static_cast<double>(bias[at.channel]);
  for (int c = 0; c < channels; ++c) {
    for (int r = 0; r < stage.kernel_h; ++r) {
      const int h = at.row * stage.stride_h - stage.padding_h + r * stage.dilation_h;
      for (int s = 0; s < stage.kernel_w; ++s, ++filter) {
        const int w = at.column * stage.stride_w - stage.padding_w + s * stage.dilation_w;
        if (h < 0 || h >= stage.height || w < 0 || w >= stage.width) continue;
        sum += static_cast<double>(*filter) *
               static_cast<double>(to_float(image[c * strides.channel + h * strides.row + w * strides.column]));
      }
    }
  }
  y[index] = sum;
}

__global__ void reference_gather_kernel(StageShape stage, const double* __restrict__ input_dictionary,
                                        const std::int32_t* __restrict__ row_offsets,
                                        const std::uint32_t* __restrict__ indices,
                                        const float* __restrict__ coefficients, const float* __restrict__ bias,
                                        double* __restrict__ y) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= stage.outputs()) return;
  const OutputPosition at = output_position<Layout::nchw>(stage, index);
  const std::int64_t plane = static_cast<std::int64_t>(stage.height) * stage.width;
  const double* image = input_dictionary + at.image * stage.in_channels * plane;
  double sum = bias == nullptr ? 0.0 : static_cast<double>(bias[at.channel]);
  for (int r = 0; r < stage.kernel_h; ++r) {
    const int h = at.row * stage.stride_h - stage.padding_h + r * stage.dilation_h;
    for (int s = 0; s < stage.kernel_w; ++s) {
      const int w = at.column * stage.stride_w - stage.padding_w + s * stage.dilation_w;
      if (h < 0 || h >= stage.height || w < 0 || w >= stage.width) continue;
      const int position = (at.channel * stage.kernel_h + r) * stage.kernel_w + s;
      for (int i = row_offsets[position]; i < row_offsets[position + 1]; ++i) {
        sum += static_cast<double>(coefficients[i]) * image[indices[i] * plane + h * stage.width + w];
      }
    }
  }
  y[index] = sum;
}

struct Sums {
  double error_squares, reference_squares;
  unsigned long long non_finite;
};

template <typename T>
__global__ void compare_kernel(StageShape stage, Strides strides, const T* __restrict__ y,
                               const double* __restrict__ reference, Sums* sums) {
  double error_squares = 0.0, reference_squares = 0.0;
  unsigned long long non_finite = 0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < stage.outputs(); i += step) {
    const OutputPosition at = output_position<Layout::nchw>(stage, i);
    const float value = to_float(
        y[at.image * strides.batch + at.channel * strides.channel + at.row * strides.row + at.column * strides.column]);
    const double error = static_cast<double>(value) - reference[i];
    error_squares += error * error;
    reference_squares += reference[i] * reference[i];
    non_finite += isfinite(value) ? 0 : 1;
  }
  atomicAdd(&sums->error_squares, error_squares);
  atomicAdd(&sums->reference_squares, reference_squares);
  atomicAdd(&sums->non_finite, non_finite);
}

unsigned blocks_for(std::int64_t elements) { return static_cast<unsigned>((elements + kThreads - 1) / kThreads); }

// y = conv(x, weight) + bias; x has the stage's input extents in `layout`.
template <typename T>
void launch_conv2d(const Conv2dProblem& stage, const T* x, Layout layout, const Buffer& weight, const Buffer& bias,
                   double* y, cudaStream_t stream) {
  reference_conv2d_kernel<<<blocks_for(stage.output_elements()), kThreads, 0, stream>>>(
      StageShape(stage), Strides(layout, stage.in_channels, stage.height, stage.width), x, weight.as<float>(),
      bias.as<float>(), y);
  check_launch("reference_conv2d_kernel");
}

}  // namespace

DeviceReference::DeviceReference(const Conv2dProblem& problem) : problem_(problem) {
  check(cudaMalloc(&values_, static_cast<std::size_t>(problem.output_elements()) * sizeof(double)),
        "allocating the float64 reference");
}

DeviceReference::DeviceReference(DeviceReference&& other) noexcept
    : problem_(other.problem_), values_(std::exchange(other.values_, nullptr)) {}

DeviceReference& DeviceReference::operator=(DeviceReference&& other) noexcept {
  problem_ = other.problem_;
  std::swap(values_, other.values_);
  return *this;
}

DeviceReference::~DeviceReference() {
  if (values_ != nullptr) cudaFree(values_);
}

DeviceReference DeviceReference::lookup_conv2d(const LookupProblem& problem, const LookupWeights& weights,
                                               const void* x, Precision precision, Layout layout, void* stream) {
  DeviceReference reference(problem.conv);
  PlainAllocator allocator;
  const Execution execution{.allocator = &allocator, .stream = stream};
  const LookupTable& table = weights.lookups;
  const Buffer dictionary = upload(std::span<const float>(weights.dictionary), MemoryKind::weights, execution);
  const Buffer row_offsets = upload(std::span<const std::int32_t>(table.row_offsets), MemoryKind::weights, execution);
  const Buffer indices = upload(std::span<const std::uint32_t>(table.indices), MemoryKind::weights, execution);
  const Buffer coefficients = upload(std::span<const float>(table.coefficients), MemoryKind::weights, execution);
  const Buffer bias = upload(std::span<const float>(weights.bias), MemoryKind::weights, execution);
  const Conv2dProblem dictionary_stage = problem.dictionary_stage(), lookup_stage = problem.lookup_stage();
  const Buffer input_dictionary(allocator, dictionary_stage.output_elements() * 8, MemoryKind::workspace);

  with_element(precision, [&]<typename T>(T) {
    launch_conv2d(dictionary_stage, static_cast<const T*>(x), layout, dictionary, Buffer(),
                  input_dictionary.as<double>(), as_stream(stream));
  });
  reference_gather_kernel<<<blocks_for(problem.conv.output_elements()), kThreads, 0, as_stream(stream)>>>(
      StageShape(lookup_stage), input_dictionary.as<double>(), row_offsets.as<std::int32_t>(),
      indices.as<std::uint32_t>(), coefficients.as<float>(), bias.as<float>(), reference.values_);
  check_launch("reference_gather_kernel");
  check(cudaStreamSynchronize(as_stream(stream)), "the float64 reference");
  return reference;
}

DeviceReference DeviceReference::conv2d(const Conv2dProblem& problem, const DenseWeights& weights, const void* x,
                                        Precision precision, Layout layout, void* stream) {
  DeviceReference reference(problem);
  PlainAllocator allocator;
  const Execution execution{.allocator = &allocator, .stream = stream};
  const Buffer weight = upload(std::span<const float>(weights.weight), MemoryKind::weights, execution);
  const Buffer bias = upload(std::span<const float>(weights.bias), MemoryKind::weights, execution);
  with_element(precision, [&]<typename T>(T) {
    launch_conv2d(problem, static_cast<const T*>(x), layout, weight, bias, reference.values_, as_stream(stream));
  });
  check(cudaStreamSynchronize(as_stream(stream)), "the float64 reference");
  return reference;
}

Comparison DeviceReference::compare(const void* y, Precision precision, Layout layout, void* stream) const {
  PlainAllocator allocator;
  const Sums zero{};
  const Buffer sums = upload(std::span<const Sums>(&zero, 1), MemoryKind::workspace,
                             {.allocator = &allocator, .stream = stream});
  with_element(precision, [&]<typename T>(T) {
    compare_kernel<<<std::min(blocks_for(problem_.output_elements()), 1024u), kThreads, 0, as_stream(stream)>>>(
        StageShape(problem_),
        Strides(layout, problem_.out_channels, problem_.out_height(), problem_.out_width()),
        static_cast<const T*>(y), values_, sums.as<Sums>());
  });
  check_launch("compare_kernel");
  Sums found;
  check(cudaMemcpyAsync(&found, sums.as<Sums>(), sizeof found, cudaMemcpyDeviceToHost, as_stream(stream)), "comparing");
  check(cudaStreamSynchronize(as_stream(stream)), "comparing with the float64 reference");
  return make_comparison(found.error_squares, found.reference_squares, static_cast<std::int64_t>(found.non_finite));
}

void DeviceReference::download(double* host, void* stream) const {
  check(cudaMemcpyAsync(host, values_, static_cast<std::size_t>(problem_.output_elements()) * sizeof(double),
                        cudaMemcpyDeviceToHost, as_stream(stream)), "downloading the float64 reference");
  check(cudaStreamSynchronize(as_stream(stream)), "downloading the float64 reference");
}

}  // namespace lcnn::cuda
