// LibTorch tensors over memory that somebody else owns.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <vector>

#include "kernels/problem.h"
#include "kernels/weights.h"

namespace lcnn {

inline at::ScalarType scalar_type(Precision precision) {
  switch (precision) {
    case Precision::fp16: return at::kHalf;
    case Precision::bf16: return at::kBFloat16;
    default: return at::kFloat;
  }
}

// [batch, channels, height, width] in `layout`.
inline at::Tensor view_nchw(const void* data, at::IntArrayRef sizes, Precision precision, Layout layout,
                            at::Device device) {
  const std::int64_t c = sizes[1], h = sizes[2], w = sizes[3];
  const std::vector<std::int64_t> strides = layout == Layout::nchw ? std::vector<std::int64_t>{c * h * w, h * w, w, 1}
                                                                   : std::vector<std::int64_t>{c * h * w, 1, w * c, c};
  return at::from_blob(const_cast<void*>(data), sizes, strides,
                       at::TensorOptions().dtype(scalar_type(precision)).device(device));
}

inline at::Tensor view_input(const Conv2dProblem& p, const void* x, Precision precision, Layout layout,
                             at::Device device) {
  return view_nchw(x, {p.batch, p.in_channels, p.height, p.width}, precision, layout, device);
}

inline at::Tensor view_output(const Conv2dProblem& p, const void* y, Precision precision, Layout layout,
                              at::Device device) {
  return view_nchw(y, {p.batch, p.out_channels, p.out_height(), p.out_width()}, precision, layout, device);
}

// A copy of `values` with the given sizes, converted and moved.
inline at::Tensor make_tensor(const std::vector<float>& values, at::IntArrayRef sizes, Precision precision,
                              at::Device device) {
  return at::from_blob(const_cast<float*>(values.data()), sizes, at::kFloat)
      .to(at::TensorOptions().dtype(scalar_type(precision)).device(device), /*non_blocking=*/false, /*copy=*/true);
}

inline at::Tensor make_weight(const Conv2dProblem& p, const std::vector<float>& weight, Precision precision,
                              Layout layout, at::Device device) {
  return make_tensor(weight, {p.out_channels, p.in_channels_per_group(), p.kernel[0], p.kernel[1]}, precision, device)
      .contiguous(layout == Layout::nchw ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast);
}

// An undefined tensor without bias.
inline at::Tensor make_bias(const std::vector<float>& bias, Precision precision, at::Device device) {
  if (bias.empty()) return {};
  return make_tensor(bias, {static_cast<std::int64_t>(bias.size())}, precision, device);
}

}  // namespace lcnn
