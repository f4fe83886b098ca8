// A Conv2dProblem as kernels take it: 32-bit, derived extents included, and where its elements lie.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace lcnn::cuda {

struct StageShape {
  int batch, in_channels, height, width, out_channels, out_height, out_width;
  int kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;
  int in_channels_per_group, out_channels_per_group;

  explicit StageShape(const Conv2dProblem& p)
      : batch(static_cast<int>(p.batch)), in_channels(static_cast<int>(p.in_channels)),
        height(static_cast<int>(p.height)), width(static_cast<int>(p.width)),
        out_channels(static_cast<int>(p.out_channels)), out_height(static_cast<int>(p.out_height())),
        out_width(static_cast<int>(p.out_width())), kernel_h(static_cast<int>(p.kernel[0])),
        kernel_w(static_cast<int>(p.kernel[1])), stride_h(static_cast<int>(p.stride[0])),
        stride_w(static_cast<int>(p.stride[1])), padding_h(static_cast<int>(p.padding[0])),
        padding_w(static_cast<int>(p.padding[1])), dilation_h(static_cast<int>(p.dilation[0])),
        dilation_w(static_cast<int>(p.dilation[1])),
        in_channels_per_group(static_cast<int>(p.in_channels_per_group())),
        out_channels_per_group(static_cast<int>(p.out_channels_per_group())) {}

#ifdef __CUDACC__
  __device__ std::int64_t outputs() const {
    return static_cast<std::int64_t>(batch) * out_channels * out_height * out_width;
  }
#endif
};

// Distance between neighbours of a tensor [batch, channels, height, width].
struct Strides {
  std::int64_t batch, channel, row, column;

  Strides(Layout layout, std::int64_t channels, std::int64_t height, std::int64_t width)
      : batch(channels * height * width),
        channel(layout == Layout::nchw ? height * width : 1),
        row(layout == Layout::nchw ? width : width * channels),
        column(layout == Layout::nchw ? 1 : channels) {}
};

#ifdef __CUDACC__
// One output's coordinates.
struct OutputPosition {
  int image, channel, row, column;
};

// The position of the index-th output in memory order, so that a warp's stores are contiguous in either layout.
template <Layout kLayout>
__device__ OutputPosition output_position(const StageShape& shape, std::int64_t index) {
  const std::int64_t plane = static_cast<std::int64_t>(shape.out_height) * shape.out_width;
  OutputPosition at;
  at.image = static_cast<int>(index / (plane * shape.out_channels));
  const auto rest = static_cast<unsigned>(index % (plane * shape.out_channels));
  const auto pixels = static_cast<unsigned>(plane);
  const unsigned pixel = kLayout == Layout::nchw ? rest % pixels : rest / shape.out_channels;
  at.channel = static_cast<int>(kLayout == Layout::nchw ? rest / pixels : rest % shape.out_channels);
  at.row = static_cast<int>(pixel / shape.out_width);
  at.column = static_cast<int>(pixel % shape.out_width);
  return at;
}
#endif

}  // namespace lcnn::cuda
