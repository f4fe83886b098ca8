// Vectors of pixels in registers: one register of the instruction set that the including file is compiled for.
//
// Included again for each instruction set, after simd_dispatch.h.
#if defined(LCNN_KERNELS_CPU_LANES_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LCNN_KERNELS_CPU_LANES_H
#undef LCNN_KERNELS_CPU_LANES_H
#else
#define LCNN_KERNELS_CPU_LANES_H
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/bf16.h"
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

// As many 16-bit values as FloatTag has floats.
template <typename FloatTag>
using HalvesTag = hwy::HWY_NAMESPACE::Rebind<std::uint16_t, FloatTag>;

// Floats of a vector of any size from memory, and back.
template <typename FloatTag>
HWY_INLINE auto load(FloatTag tag, const float* values) {
  return hwy::HWY_NAMESPACE::LoadU(tag, values);
}
template <typename FloatTag>
HWY_INLINE auto load(FloatTag tag, const Bf16* values) {
  namespace hn = hwy::HWY_NAMESPACE;
  const auto bits = hn::PromoteTo(hn::Rebind<std::uint32_t, FloatTag>(), hn::LoadU(HalvesTag<FloatTag>(), &values->bits));
  return hn::BitCast(tag, hn::ShiftLeft<16>(bits));
}
template <typename FloatTag, typename Vector>
HWY_INLINE void store(FloatTag tag, float* values, Vector lanes) {
  hwy::HWY_NAMESPACE::StoreU(lanes, tag, values);
}
// Rounded to the nearest, ties to even; what is not a number stays so.
template <typename FloatTag, typename Vector>
HWY_INLINE auto rounded(FloatTag, Vector lanes) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<std::uint32_t, FloatTag> tag;
  const auto bits = hn::BitCast(tag, lanes);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(tag, 1u));
  const auto nearest = hn::Add(hn::Add(bits, hn::Set(tag, 0x7FFFu)), odd);
  const auto kept = hn::IfThenElse(hn::RebindMask(tag, hn::IsNaN(lanes)), hn::Or(bits, hn::Set(tag, 0x400000u)), nearest);
  return hn::DemoteTo(HalvesTag<FloatTag>(), hn::BitCast(hn::Rebind<std::int32_t, FloatTag>(), hn::ShiftRight<16>(kept)));
}
template <typename FloatTag, typename Vector>
HWY_INLINE void store(FloatTag tag, Bf16* values, Vector lanes) {
  hwy::HWY_NAMESPACE::StoreU(rounded(tag, lanes), HalvesTag<FloatTag>(), &values->bits);
}

template <typename T>
HWY_INLINE Lanes<T> broadcast(T value) {
  return hwy::HWY_NAMESPACE::Set(Tag<T>(), value);
}
template <typename T>
HWY_INLINE Lanes<T> load(const T* values) {
  return hwy::HWY_NAMESPACE::LoadU(Tag<T>(), values);
}
HWY_INLINE Lanes<float> load(const Bf16* values) { return load(Tag<float>(), values); }
template <typename T>
HWY_INLINE void store(T* values, Lanes<T> lanes) {
  hwy::HWY_NAMESPACE::StoreU(lanes, Tag<T>(), values);
}
HWY_INLINE void store(Bf16* values, Lanes<float> lanes) { store(Tag<float>(), values, lanes); }
// a * b + c.
template <typename Vector>
HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector c) {
  return hwy::HWY_NAMESPACE::MulAdd(a, b, c);
}
// Lane i = lane indices[i].
HWY_INLINE Lanes<float> permute(Lanes<float> lanes, const std::int32_t* indices) {
  return hwy::HWY_NAMESPACE::TableLookupLanes(lanes, hwy::HWY_NAMESPACE::SetTableIndices(Tag<float>(), indices));
}
// Lanes 1 and up, the first one of `next` behind them.
HWY_INLINE Lanes<float> next_lanes(Lanes<float> lanes, Lanes<float> next) {
  constexpr Tag<float> tag;
  constexpr std::int32_t count = static_cast<std::int32_t>(sizeof lanes / sizeof(float));
  alignas(64) static constexpr std::int32_t kRotated[] = {1 % count, 2 % count, 3 % count, 4 % count, 5 % count, 6 % count, 7 % count, 8 % count,
                                                          9 % count, 10 % count, 11 % count, 12 % count, 13 % count, 14 % count, 15 % count, 0};
  return hwy::HWY_NAMESPACE::IfThenElse(hwy::HWY_NAMESPACE::FirstN(tag, count - 1), permute(lanes, kRotated), permute(next, kRotated));
}
// The lanes whose bits are set, 0 elsewhere. 8 bytes of `bits` may be read.
HWY_INLINE Lanes<float> only(Lanes<float> lanes, const std::uint8_t* bits) {
  return hwy::HWY_NAMESPACE::IfThenElseZero(hwy::HWY_NAMESPACE::LoadMaskBits(Tag<float>(), bits), lanes);
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

typedef std::uint16_t Halves __attribute__((vector_size(kRegisterBytes / 2)));

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
HWY_INLINE Lanes<float> load(const Bf16* values) {
  Halves halves;
  std::memcpy(&halves, values, sizeof halves);
  return reinterpret_cast<Lanes<float>>(__builtin_convertvector(halves, Lanes<std::uint32_t>) << 16);
}
template <typename T>
HWY_INLINE void store(T* values, Lanes<T> lanes) {
  std::memcpy(values, &lanes, sizeof lanes);
}
// Rounded to the nearest, ties to even; what is not a number stays so.
HWY_INLINE void store(Bf16* values, Lanes<float> lanes) {
  const auto bits = reinterpret_cast<Lanes<std::uint32_t>>(lanes), nearest = bits + 0x7FFF + (bits >> 16 & 1);
  const Halves halves = __builtin_convertvector((lanes != lanes ? bits | 0x400000 : nearest) >> 16, Halves);
  std::memcpy(values, &halves, sizeof halves);
}
// a * b + c.
template <typename Vector>
HWY_INLINE Vector multiply_add(Vector a, Vector b, Vector c) {
  return a * b + c;
}
// Lane i = lane indices[i].
HWY_INLINE Lanes<float> permute(Lanes<float> lanes, const std::int32_t* indices) {
  Lanes<float> permuted{};
  for (int lane = 0; lane < static_cast<int>(sizeof lanes / sizeof(float)); ++lane) permuted[lane] = lanes[indices[lane]];
  return permuted;
}
// Lanes 1 and up, the first one of `next` behind them.
HWY_INLINE Lanes<float> next_lanes(Lanes<float> lanes, Lanes<float> next) {
  constexpr int count = static_cast<int>(sizeof lanes / sizeof(float));
  for (int lane = 0; lane + 1 < count; ++lane) lanes[lane] = lanes[lane + 1];
  lanes[count - 1] = next[0];
  return lanes;
}
// The lanes whose bits are set, 0 elsewhere.
HWY_INLINE Lanes<float> only(Lanes<float> lanes, const std::uint8_t* bits) {
  for (int lane = 0; lane < static_cast<int>(sizeof lanes / sizeof(float)); ++lane) {
    if ((bits[lane / 8] >> (lane % 8) & 1) == 0) lanes[lane] = 0.0f;
  }
  return lanes;
}

#endif

template <typename T>
inline constexpr int kLanes = sizeof(Lanes<T>) / sizeof(T);

// values [0, kCount) = from [0, kCount), of float or Bf16; kCount is kLanes<float>, 8 or 4.
template <int kCount, typename T>
HWY_INLINE void widen(float* values, const T* from) {
#if LCNN_HAS_HIGHWAY
  const hwy::HWY_NAMESPACE::CappedTag<float, kCount> tag;
  if constexpr (hwy::HWY_NAMESPACE::MaxLanes(tag) == kCount) return store(tag, values, load(tag, from));
#endif
  if constexpr (std::is_same_v<T, float>) {
    std::memcpy(values, from, kCount * sizeof(float));  // one load and one store
  } else {
    for (int i = 0; i < kCount; ++i) values[i] = widened(from[i]);
  }
}

// values [0, count) = the first lanes; nothing behind them is touched. T is float or Bf16.
template <typename T>
HWY_INLINE void store_first(T* values, Lanes<float> lanes, int count) {
#if LCNN_HAS_HIGHWAY && HWY_TARGET == HWY_AVX3
  // Elsewhere masked stores are slow, or read and write again what another thread may write.
  const auto blend = [count](auto stored, auto tag, auto* to) HWY_ATTR {
    hwy::HWY_NAMESPACE::BlendedStore(stored, hwy::HWY_NAMESPACE::FirstN(tag, static_cast<std::size_t>(count)), tag, to);
  };
  if constexpr (std::is_same_v<T, Bf16>) blend(rounded(Tag<float>(), lanes), HalvesTag<Tag<float>>(), &values->bits);
  else blend(lanes, Tag<float>(), values);
#else
  T kept[kLanes<float>];
  store(kept, lanes);
  for (int lane = 0; lane < count; ++lane) values[lane] = kept[lane];
#endif
}

#if LCNN_HAS_HIGHWAY
// A vector of every stride-th value, or none for strides that are taken one by one. Of the last value's group all is read.
template <typename FloatTag>
HWY_INLINE bool take_vector(FloatTag tag, const float* from, std::int64_t stride, float* to) {
  namespace hn = hwy::HWY_NAMESPACE;
  hn::Vec<FloatTag> v[4];
  if (stride == 2) hn::LoadInterleaved2(tag, from, v[0], v[1]);
  else if (stride == 3) hn::LoadInterleaved3(tag, from, v[0], v[1], v[2]);
  else if (stride == 4) hn::LoadInterleaved4(tag, from, v[0], v[1], v[2], v[3]);
  else return false;
  hn::StoreU(v[0], tag, to);
  return true;
}
// In words of two values each, whose lower half is the first.
template <typename FloatTag>
HWY_INLINE bool take_vector(FloatTag tag, const Bf16* from, std::int64_t stride, float* to) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Rebind<std::uint32_t, FloatTag> words;
  const auto* pairs = reinterpret_cast<const std::uint32_t*>(from);
  hn::Vec<decltype(words)> v[2];
  if (stride == 2) v[0] = hn::LoadU(words, pairs);
  else if (stride == 4) hn::LoadInterleaved2(words, pairs, v[0], v[1]);
  else return false;
  hn::StoreU(hn::BitCast(tag, hn::ShiftLeft<16>(v[0])), tag, to);
  return true;
}
#endif

// to [count] = every stride-th value of `from`. Nothing behind the last one is read. T is float or Bf16.
template <typename T>
HWY_INLINE void take_every(float* to, const T* from, std::int64_t stride, std::int64_t count) {
  std::int64_t i = 0;
#if LCNN_HAS_HIGHWAY
  // By whole vectors, by half and quarter vectors where rows are short; the last vector is moved back.
  const auto vectors = [&](auto tag) HWY_ATTR {
    const auto lanes = static_cast<std::int64_t>(hwy::HWY_NAMESPACE::Lanes(tag));
    const std::int64_t whole = count - 1;  // of the last value's group there may be no more than the value
    if (i > 0 || whole < lanes) return;
    while (take_vector(tag, from + i * stride, stride, to + i)) {
      if (i == whole - lanes) {
        i = whole;
        return;
      }
      i = std::min(i + lanes, whole - lanes);
    }
  };
  vectors(Tag<float>());
  vectors(hwy::HWY_NAMESPACE::CappedTag<float, 8>());
  vectors(hwy::HWY_NAMESPACE::CappedTag<float, 4>());
#endif
  for (; i < count; ++i) to[i] = widened(from[i * stride]);
}

// How many vectors fit the registers: AVX-512 and 64-bit ARM have 32 of them, other x86 has 16.
#ifdef __aarch64__
inline constexpr int kRegisters = 32;
#else
inline constexpr int kRegisters = sizeof(Lanes<float>) == 64 ? 32 : 16;
#endif

// function(integral_constant<vectors>) for vectors in 1 .. kMost.
template <int kMost, typename Function>
HWY_INLINE void with_vectors(std::int64_t vectors, const Function& function) {
  if constexpr (kMost > 1) {
    if (vectors < kMost) return with_vectors<kMost - 1>(vectors, function);
  }
  function(std::integral_constant<int, kMost>{});
}

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
