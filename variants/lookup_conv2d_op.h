// The operator lcnn::lookup_conv2d, registered with LibTorch's dispatcher: CPU, CUDA, Meta, Autograd and Autocast.
//
// Schema (also what Python calls as torch.ops.lcnn.lookup_conv2d):
//   lookup_conv2d(Tensor input, Tensor dictionary, Tensor lookup_offsets, Tensor lookup_indices,
//                 Tensor lookup_coefficients, Tensor? bias, int[2] kernel_size, int[2] stride=1, int[2] padding=0,
//                 int[2] dilation=1, int groups=1) -> Tensor
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace lcnn {

// Y = conv(conv(X, D), P) + b (paper eq. 4-7), differentiable once by input, dictionary, coefficients and bias.
//
//   input                [batch, in_channels, height, width]
//   dictionary           [dictionary_size, in_channels / groups, dh, dw]: 1x1 (granularity vector), or kernel_size (filter)
//   lookup_offsets       int32 [out_channels * kh * kw + 1] (filter: [out_channels + 1]), a LookupTable's row_offsets
//   lookup_indices       int32 [lookups], dictionary entries of the output channel's group
//   lookup_coefficients  [lookups]
//   bias                 [out_channels]
//
// Floating-point tensors share one type: float or double; half or bfloat16 are summed in float. Gradients are the same
// to the bit from run to run on a CPU, and on CUDA where deterministic algorithms are switched on in LibTorch's context.
// Throws c10::ValueError that names what does not fit; lookups are checked on the CPU only, where that needs no copy.
at::Tensor lookup_conv2d(const at::Tensor& input, const at::Tensor& dictionary, const at::Tensor& lookup_offsets,
                         const at::Tensor& lookup_indices, const at::Tensor& lookup_coefficients,
                         const std::optional<at::Tensor>& bias, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                         at::IntArrayRef padding, at::IntArrayRef dilation, std::int64_t groups);

}  // namespace lcnn
