// Vectors of pixels in registers, split by the compiler where registers are narrower than 64 bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace lcnn::cpu::simd {

template <typename T>
struct LanesOf {
  typedef T Type __attribute__((vector_size(64)));
};
template <typename T>
using Lanes = typename LanesOf<T>::Type;
template <typename T>
inline constexpr int kLanes = 64 / static_cast<int>(sizeof(T));

template <typename T>
Lanes<T> load(const T* values) {
  Lanes<T> lanes;
  std::memcpy(&lanes, values, sizeof lanes);
  return lanes;
}
template <typename T>
void store(T* values, const Lanes<T>& lanes) {
  std::memcpy(values, &lanes, sizeof lanes);
}

// Calls function(start, integral_constant<count>) for `count` vectors from `start` on, kVectors or 1, until `length`
// positions are covered. The last vector is moved back to end with them: it computes some positions again.
// length >= kLanes<T>.
template <typename T, int kVectors, typename Function>
void for_each_block(std::int64_t length, const Function& function) {
  constexpr int lanes = kLanes<T>;
  std::int64_t start = 0;
  for (; start + kVectors * lanes <= length; start += kVectors * lanes) function(start, std::integral_constant<int, kVectors>{});
  for (; start + lanes <= length; start += lanes) function(start, std::integral_constant<int, 1>{});
  if (start < length) function(length - lanes, std::integral_constant<int, 1>{});
}

}  // namespace lcnn::cpu::simd
