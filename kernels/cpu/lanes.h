// Vectors of pixels in registers: one register of the instruction set that the including file is compiled for.
//
// Included again for each instruction set, after simd_dispatch.h.
#if defined(LCNN_KERNELS_CPU_LANES_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LCNN_KERNELS_CPU_LANES_H
#undef LCNN_KERNELS_CPU_LANES_H
#else
#define LCNN_KERNELS_CPU_LANES_H
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/simd_dispatch.h"
#if LCNN_HAS_HIGHWAY
#include "hwy/highway.h"
#endif

HWY_BEFORE_NAMESPACE();
namespace lcnn::cpu::HWY_NAMESPACE::simd {

#if LCNN_HAS_HIGHWAY

template <typename T>
using Tag = hwy::HWY_NAMESPACE::ScalableTag<T>;
template <typename T>
using Lanes = hwy::HWY_NAMESPACE::Vec<Tag<T>>;

template <typename T>
HWY_INLINE Lanes<T> broadcast(T value) {
  return hwy::HWY_NAMESPACE::Set(Tag<T>(), value);
}
template <typename T>
HWY_INLINE Lanes<T> load(const T* values) {
  return hwy::HWY_NAMESPACE::LoadU(Tag<T>(), values);
}
template <typename T>
HWY_INLINE void store(T* values, Lanes<T> lanes) {
  hwy::HWY_NAMESPACE::StoreU(lanes, Tag<T>(), values);
}
// a * b + c.
template <typename Vector>
HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector c) {
  return hwy::HWY_NAMESPACE::MulAdd(a, b, c);
}

#else

#if defined(__AVX512F__)
inline constexpr int kRegisterBytes = 64;
#elif defined(__AVX__)
inline constexpr int kRegisterBytes = 32;
#else
inline constexpr int kRegisterBytes = 16;
#endif

template <typename T>
struct LanesOf {
  typedef T Type __attribute__((vector_size(kRegisterBytes)));
};
template <typename T>
using Lanes = typename LanesOf<T>::Type;

template <typename T>
HWY_INLINE Lanes<T> broadcast(T value) {
  return value - Lanes<T>{};
}
template <typename T>
HWY_INLINE Lanes<T> load(const T* values) {
  Lanes<T> lanes;
  std::memcpy(&lanes, values, sizeof lanes);
  return lanes;
}
template <typename T>
HWY_INLINE void store(T* values, Lanes<T> lanes) {
  std::memcpy(values, &lanes, sizeof lanes);
}
// a * b + c.
template <typename Vector>
HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector c) {
  return a * b + c;
}

#endif

template <typename T>
inline constexpr int kLanes = sizeof(Lanes<T>) / sizeof(T);

// How many vectors fit the registers: AVX-512 and 64-bit ARM have 32 of them, other x86 has 16.
#ifdef __aarch64__
inline constexpr int kRegisters = 32;
#else
inline constexpr int kRegisters = sizeof(Lanes<float>) == 64 ? 32 : 16;
#endif

// Calls function(start, integral_constant<count>) for `count` vectors from `start` on, kVectors or 1, until `length`
// positions are covered. The last vector is moved back to end with them: it computes some positions again.
// length >= kLanes<T>.
template <typename T, int kVectors, typename Function>
HWY_INLINE void for_each_block(std::int64_t length, const Function& function) {
  constexpr int lanes = kLanes<T>;
  std::int64_t start = 0;
  for (; start + kVectors * lanes <= length; start += kVectors * lanes) function(start, std::integral_constant<int, kVectors>{});
  for (; start + lanes <= length; start += lanes) function(start, std::integral_constant<int, 1>{});
  if (start < length) function(length - lanes, std::integral_constant<int, 1>{});
}

}  // namespace lcnn::cpu::HWY_NAMESPACE::simd
HWY_AFTER_NAMESPACE();

#endif
