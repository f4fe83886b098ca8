// bfloat16 in memory: the upper half of a float's bits.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

namespace lcnn::cpu {

struct Bf16 {
  std::uint16_t bits;
};

// What kernels compute in.
template <typename T>
T widened(T value) {
  return value;
}
inline float widened(Bf16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16); }

// As T stores it: rounded to the nearest, ties to even; what is not a number stays so.
template <typename T>
T narrowed(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return Bf16{static_cast<std::uint16_t>((value != value ? bits | 0x400000 : bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
  }
}

}  // namespace lcnn::cpu
