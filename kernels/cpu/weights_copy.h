// The parameters in memory of a caller's allocator, as the CPU kernels read them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "kernels/cpu/bf16.h"
#include "kernels/variant.h"

namespace lcnn::cpu {

// LookupWeights in MemoryKind::weights: values as T, float or Bf16, for which they are rounded already; 16-bit indices.
template <typename T>
class StoredWeights {
 public:
  StoredWeights(const LookupWeights& weights, Allocator& allocator)
      : dictionary_(copy<T>(weights.dictionary, allocator)),
        row_offsets_(copy<std::int32_t>(weights.lookups.row_offsets, allocator)),
        indices_(copy<std::uint16_t>(weights.lookups.indices, allocator)),
        coefficients_(copy<T>(weights.lookups.coefficients, allocator)),
        bias_(copy<T>(weights.bias, allocator)),
        has_bias_(!weights.bias.empty()) {}

  const T* dictionary() const { return dictionary_.template as<T>(); }
  const std::int32_t* row_offsets() const { return row_offsets_.as<std::int32_t>(); }
  const std::uint16_t* indices() const { return indices_.as<std::uint16_t>(); }
  const T* coefficients() const { return coefficients_.template as<T>(); }
  float bias(std::int64_t k) const { return has_bias_ ? widened(bias_.template as<T>()[k]) : 0.0f; }

 private:
  template <typename To, typename From>
  static Buffer copy(const std::vector<From>& values, Allocator& allocator) {
    Buffer buffer(allocator, static_cast<std::int64_t>(values.size() * sizeof(To)), MemoryKind::weights);
    std::ranges::transform(values, buffer.as<To>(), [](From value) {
      if constexpr (std::is_same_v<To, Bf16>) return Bf16{bits_of(Precision::bf16, value)};
      else return static_cast<To>(value);
    });
    return buffer;
  }

  Buffer dictionary_, row_offsets_, indices_, coefficients_, bias_;
  bool has_bias_;
};

}  // namespace lcnn::cpu
