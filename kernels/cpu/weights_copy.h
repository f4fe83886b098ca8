// The parameters in memory of a caller's allocator, as the CPU kernels read them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/variant.h"

namespace lcnn::cpu {

// LookupWeights in MemoryKind::weights: fp32 values, 16-bit indices.
class StoredWeights {
 public:
  StoredWeights(const LookupWeights& weights, Allocator& allocator)
      : dictionary_(copy<float>(weights.dictionary, allocator)),
        row_offsets_(copy<std::int32_t>(weights.lookups.row_offsets, allocator)),
        indices_(copy<std::uint16_t>(weights.lookups.indices, allocator)),
        coefficients_(copy<float>(weights.lookups.coefficients, allocator)),
        bias_(copy<float>(weights.bias, allocator)),
        has_bias_(!weights.bias.empty()) {}

  const float* dictionary() const { return dictionary_.as<float>(); }
  const std::int32_t* row_offsets() const { return row_offsets_.as<std::int32_t>(); }
  const std::uint16_t* indices() const { return indices_.as<std::uint16_t>(); }
  const float* coefficients() const { return coefficients_.as<float>(); }
  float bias(std::int64_t k) const { return has_bias_ ? bias_.as<float>()[k] : 0.0f; }

 private:
  template <typename To, typename From>
  static Buffer copy(const std::vector<From>& values, Allocator& allocator) {
    Buffer buffer(allocator, static_cast<std::int64_t>(values.size() * sizeof(To)), MemoryKind::weights);
    std::ranges::transform(values, buffer.as<To>(), [](From value) { return static_cast<To>(value); });
    return buffer;
  }

  Buffer dictionary_, row_offsets_, indices_, coefficients_, bias_;
  bool has_bias_;
};

}  // namespace lcnn::cpu
