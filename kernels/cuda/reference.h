// The float64 reference on the GPU: the same direct evaluation as kernels/reference.h, for large problems.
#pragma once

#include <cstdint>

#include "kernels/problem.h"
#include "kernels/reference.h"
#include "kernels/weights.h"

namespace lcnn::cuda {

// Y in float64 [batch, out_channels, out_height, out_width] on the device. Takes its memory by cudaMalloc, outside
// every allocator that is measured. Throws std::runtime_error on a CUDA error.
class DeviceReference {
 public:
  DeviceReference() = default;
  DeviceReference(const DeviceReference&) = delete;
  DeviceReference(DeviceReference&& other) noexcept;
  DeviceReference& operator=(DeviceReference&& other) noexcept;
  ~DeviceReference();

  // Y = conv(conv(X, D), P) + b. x is on the device in `precision` and `layout`.
  static DeviceReference lookup_conv2d(const LookupProblem& problem, const LookupWeights& weights, const void* x,
                                       Precision precision, Layout layout, void* stream);
  // Y = conv(X, W) + b.
  static DeviceReference conv2d(const Conv2dProblem& problem, const DenseWeights& weights, const void* x,
                                Precision precision, Layout layout, void* stream);

  // Compares y, on the device in `precision` and `layout`, with it. Waits for the result.
  Comparison compare(const void* y, Precision precision, Layout layout, void* stream) const;

  // Copies it to `host` [output_elements] and waits.
  void download(double* host, void* stream) const;

 private:
  explicit DeviceReference(const Conv2dProblem& problem);
  Conv2dProblem problem_;
  double* values_ = nullptr;
};

}  // namespace lcnn::cuda
