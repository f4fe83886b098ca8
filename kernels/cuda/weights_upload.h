// Parameters on the device, in the precision that the kernels read.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/variant.h"

namespace lcnn::cuda {

inline cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

// Copies to the device and waits for the copy. An empty span gives an empty Buffer.
template <typename T>
Buffer upload(std::span<const T> values, MemoryKind kind, const Execution& execution) {
  if (values.empty()) return {};
  Buffer buffer(*execution.allocator, static_cast<std::int64_t>(values.size_bytes()), kind);
  check(cudaMemcpyAsync(buffer.as<void>(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice,
                        as_stream(execution.stream)), "copying parameters to the device");
  check(cudaStreamSynchronize(as_stream(execution.stream)), "copying parameters to the device");
  return buffer;
}

// As `precision` stores them: fp32 and tf32 as floats, fp16 and bf16 as 16 bits. Values must be rounded already.
inline Buffer upload_as(std::span<const float> values, Precision precision, MemoryKind kind,
                        const Execution& execution) {
  if (element_bytes(precision) == 4) return upload(values, kind, execution);
  std::vector<std::uint16_t> bits(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) bits[i] = bits_of(precision, values[i]);
  return upload(std::span<const std::uint16_t>(bits), kind, execution);
}

// The CSR arrays of P and the bias, as device pointers for kernels. T is the stored element type.
template <typename T>
struct LookupView {
  const std::int32_t* row_offsets;
  const std::uint16_t* indices;
  const T* coefficients;
  const T* bias;  // null without bias
};

// P and the bias in MemoryKind::weights.
class DeviceLookups {
 public:
  DeviceLookups(const LookupWeights& weights, Precision precision, const Execution& execution) {
    const LookupTable& table = weights.lookups;
    const std::vector<std::uint16_t> indices(table.indices.begin(), table.indices.end());
    row_offsets_ = upload(std::span<const std::int32_t>(table.row_offsets), MemoryKind::weights, execution);
    indices_ = upload(std::span<const std::uint16_t>(indices), MemoryKind::weights, execution);
    coefficients_ = upload_as(table.coefficients, precision, MemoryKind::weights, execution);
    bias_ = upload_as(weights.bias, precision, MemoryKind::weights, execution);
  }

  template <typename T>
  LookupView<T> view() const {
    return {row_offsets_.as<std::int32_t>(), indices_.as<std::uint16_t>(), coefficients_.as<T>(), bias_.as<T>()};
  }

 private:
  Buffer row_offsets_, indices_, coefficients_, bias_;
};

}  // namespace lcnn::cuda
