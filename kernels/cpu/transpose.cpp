#include "kernels/cpu/transpose.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/transpose.cpp"
#include "kernels/cpu/simd_dispatch.h"
// After simd_dispatch.h: its own instruction set for each inclusion.
#include "kernels/cpu/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace lcnn::cpu::HWY_NAMESPACE {
namespace {

template <typename From, typename To>
HWY_INLINE void transpose_values(const From* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, To* to, std::int64_t to_pitch) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) to[column * to_pitch + row] = narrowed<To>(widened(from[row * from_pitch + column]));
  }
}

// A block of 4 x 4.
template <typename From, typename To>
HWY_INLINE void transpose_block(const From* from, std::int64_t from_pitch, To* to, std::int64_t to_pitch) {
#if LCNN_HAS_HIGHWAY && HWY_TARGET != HWY_SCALAR  // which has no pairs to interleave
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, 4> tag;
  if constexpr (hn::MaxLanes(tag) == 4) {
    const hn::RepartitionToWide<decltype(tag)> pairs;
    const auto row0 = simd::load(tag, from), row1 = simd::load(tag, from + from_pitch);
    const auto row2 = simd::load(tag, from + 2 * from_pitch), row3 = simd::load(tag, from + 3 * from_pitch);
    const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(tag, row0, row1)), low23 = hn::BitCast(pairs, hn::InterleaveLower(tag, row2, row3));
    const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(tag, row0, row1)), high23 = hn::BitCast(pairs, hn::InterleaveUpper(tag, row2, row3));
    simd::store(tag, to, hn::BitCast(tag, hn::InterleaveLower(pairs, low01, low23)));
    simd::store(tag, to + to_pitch, hn::BitCast(tag, hn::InterleaveUpper(pairs, low01, low23)));
    simd::store(tag, to + 2 * to_pitch, hn::BitCast(tag, hn::InterleaveLower(pairs, high01, high23)));
    simd::store(tag, to + 3 * to_pitch, hn::BitCast(tag, hn::InterleaveUpper(pairs, high01, high23)));
    return;
  }
#endif
  transpose_values(from, 4, 4, from_pitch, to, to_pitch);
}

}  // namespace

// Columns a cache line at a time, so that each line of `from` is read once however its rows share the cache's sets.
template <typename From, typename To>
void transpose_of(const From* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, To* to, std::int64_t to_pitch) {
  constexpr std::int64_t kLine = 64 / sizeof(From);
  for (std::int64_t column = 0; column < columns; column += kLine) {
    const std::int64_t count = std::min(kLine, columns - column), blocks = count / 4 * 4;
    for (std::int64_t row = 0; row < rows; row += 4) {
      const From* block = from + row * from_pitch + column;
      To* turned = to + column * to_pitch + row;
      if (rows - row < 4) {
        transpose_values(block, rows - row, count, from_pitch, turned, to_pitch);
        continue;
      }
      for (std::int64_t i = 0; i < blocks; i += 4) transpose_block(block + i, from_pitch, turned + i * to_pitch, to_pitch);
      transpose_values(block + blocks, 4, count - blocks, from_pitch, turned + blocks * to_pitch, to_pitch);
    }
  }
}

// HWY_EXPORT takes no templates.
void transpose_float(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, float* to, std::int64_t to_pitch) {
  transpose_of(from, rows, columns, from_pitch, to, to_pitch);
}
void transpose_widened(const Bf16* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, float* to, std::int64_t to_pitch) {
  transpose_of(from, rows, columns, from_pitch, to, to_pitch);
}
void transpose_narrowed(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, Bf16* to, std::int64_t to_pitch) {
  transpose_of(from, rows, columns, from_pitch, to, to_pitch);
}

}  // namespace lcnn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcnn::cpu {

HWY_EXPORT(transpose_float);
HWY_EXPORT(transpose_widened);
HWY_EXPORT(transpose_narrowed);

template <>
void transpose(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, float* to, std::int64_t to_pitch) {
  HWY_DYNAMIC_DISPATCH(transpose_float)(from, rows, columns, from_pitch, to, to_pitch);
}
template <>
void transpose(const Bf16* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, float* to, std::int64_t to_pitch) {
  HWY_DYNAMIC_DISPATCH(transpose_widened)(from, rows, columns, from_pitch, to, to_pitch);
}
template <>
void transpose(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, Bf16* to, std::int64_t to_pitch) {
  HWY_DYNAMIC_DISPATCH(transpose_narrowed)(from, rows, columns, from_pitch, to, to_pitch);
}
template <>
void transpose(const double* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, double* to, std::int64_t to_pitch) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) to[column * to_pitch + row] = from[row * from_pitch + column];
  }
}

}  // namespace lcnn::cpu
#endif
