#include "kernels/cuda/elementwise.h"

#include <algorithm>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/stage_shape.h"
#include "kernels/cuda/weights_upload.h"
#include "kernels/random.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
__global__ void random_fill_kernel(T* x, std::int64_t elements, Strides strides, int channels, int height, int width,
                                   std::uint64_t seed) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < elements; i += step) {
    const std::int64_t row = i / width, plane = row / height;
    x[plane / channels * strides.batch + plane % channels * strides.channel + row % height * strides.row +
      i % width * strides.column] = from_float<T>(random_value(seed, static_cast<std::uint64_t>(i)));
  }
}

template <typename T>
__global__ void add_bias_kernel(T* y, const T* bias, std::int64_t elements, unsigned inner, unsigned channels) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < elements; i += step) {
    y[i] = from_float<T>(to_float(y[i]) + to_float(bias[i / inner % channels]));
  }
}

unsigned grid_for(std::int64_t elements) {
  return static_cast<unsigned>(std::min<std::int64_t>((elements + kThreads - 1) / kThreads, 4096));
}

}  // namespace

void random_fill(void* x, const Conv2dProblem& problem, Precision precision, Layout layout, std::uint64_t seed,
                 void* stream) {
  const std::int64_t elements = problem.input_elements();
  const Strides strides(layout, problem.in_channels, problem.height, problem.width);
  with_element(precision, [&]<typename T>(T) {
    random_fill_kernel<<<grid_for(elements), kThreads, 0, as_stream(stream)>>>(
        static_cast<T*>(x), elements, strides, static_cast<int>(problem.in_channels), static_cast<int>(problem.height),
        static_cast<int>(problem.width), seed);
  });
  check_launch("random_fill_kernel");
}

void add_bias(const Conv2dProblem& problem, Precision precision, Layout layout, const void* bias, void* y,
              void* stream) {
  const std::int64_t elements = problem.output_elements();
  const auto inner = static_cast<unsigned>(layout == Layout::nchw ? problem.out_height() * problem.out_width() : 1);
  with_element(precision, [&]<typename T>(T) {
    add_bias_kernel<<<grid_for(elements), kThreads, 0, as_stream(stream)>>>(
        static_cast<T*>(y), static_cast<const T*>(bias), elements, inner, static_cast<unsigned>(problem.out_channels));
  });
  check_launch("add_bias_kernel");
}

}  // namespace lcnn::cuda
