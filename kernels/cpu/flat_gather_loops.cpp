#include "kernels/cpu/flat_gather_loops.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/flat_gather_loops.cpp"
#include "kernels/cpu/simd_dispatch.h"
// After simd_dispatch.h: its own instruction set for each inclusion.
#include "kernels/cpu/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace lcnn::cpu::HWY_NAMESPACE {
namespace {

using simd::broadcast;
using simd::for_each_block;
using simd::load;
using simd::multiply_add;
using simd::store;
using Lanes = simd::Lanes<float>;
constexpr int kLanes = simd::kLanes<float>;
static_assert(kLanes <= kReadBeyond);

constexpr int kGatherVectors = 8;  // vectors of output pixels whose sums are in registers
// Vectors of positions whose sums are in registers for each of some entries, beside the pixels and one coefficient.
constexpr int vectors_for(int entries) { return (simd::kRegisters - 1) / (entries + 1); }

void form_short_block(const DictionaryBlock& block, const float* in, std::int64_t positions, float* s, std::int64_t s_pitch) {
  for (std::int64_t e = 0; e < block.entries; ++e) {
    for (std::int64_t p = 0; p < positions; ++p) {
      float sum = 0.0f;
      for (std::int64_t j = 0; j < block.inner; ++j) sum += block.values[j * block.entries + e] * in[block.offsets[j] + p];
      s[e * s_pitch + p] = sum;
    }
  }
}

template <int kEntries>
void form_block_of(const DictionaryBlock& block, const float* in, std::int64_t positions, float* s, std::int64_t s_pitch) {
  for_each_block<float, vectors_for(kEntries)>(positions, [&](std::int64_t start, auto count) HWY_ATTR {
    Lanes sums[kEntries][count()];
    for (auto& row : sums) {
      for (Lanes& sum : row) sum = broadcast(0.0f);
    }
    const float* values = block.values;
    for (std::int64_t j = 0; j < block.inner; ++j, values += kEntries) {
      const float* pixels = in + block.offsets[j] + start;
      Lanes x[count()];
      for (int v = 0; v < count(); ++v) {
        x[v] = load(pixels + v * kLanes);
        // As many streams as channels are too many for the hardware: the next block's pixels are asked for here.
        __builtin_prefetch(pixels + (count() + v) * kLanes);
      }
      for (int e = 0; e < kEntries; ++e) {
        const Lanes value = broadcast(values[e]);
        for (int v = 0; v < count(); ++v) sums[e][v] = multiply_add(value, x[v], sums[e][v]);
      }
    }
    for (int e = 0; e < kEntries; ++e) {
      for (int v = 0; v < count(); ++v) store(s + e * s_pitch + start + v * kLanes, sums[e][v]);
    }
  });
}

// Pixels start .. end in S's pitch to rows of the output, without the gaps between them.
void write_rows(const OutputRows& rows, const float* pixels, std::int64_t start, std::int64_t end, float* out) {
  std::int64_t row = start / rows.pitch, column = start % rows.pitch;
  for (std::int64_t at = start; at < end; at += rows.pitch - column, column = 0, ++row) {
    const std::int64_t count = std::min(rows.width - column, end - at);
    if (count > 0) std::memcpy(out + row * rows.width + column, pixels + (at - start), static_cast<std::size_t>(count) * 4);
  }
}

}  // namespace

void form_block(const DictionaryBlock& block, const float* in, std::int64_t positions, float* s, std::int64_t s_pitch) {
  if (positions < kLanes) return form_short_block(block, in, positions, s, s_pitch);
  switch (block.entries) {
    case 8: return form_block_of<8>(block, in, positions, s, s_pitch);
    case 6: return form_block_of<6>(block, in, positions, s, s_pitch);
    case 5: return form_block_of<5>(block, in, positions, s, s_pitch);
    default: return form_block_of<4>(block, in, positions, s, s_pitch);
  }
}

void gather_rows(const StoredWeights& weights, const std::int32_t* offsets, std::int64_t taps, const float* s,
                 const OutputRows& rows, const ChannelShare& share, float* out, std::int64_t out_plane) {
  const std::int64_t length = (rows.rows - 1) * rows.pitch + rows.width;
  for_each_block<float, kGatherVectors>(std::max<std::int64_t>(length, kLanes), [&](std::int64_t start, auto count) HWY_ATTR {
    for (std::int64_t k = share.first; k < share.channels; k += share.step) {
      const std::int32_t* row_offsets = weights.row_offsets() + k * taps;
      Lanes sums[count()];
      for (Lanes& sum : sums) sum = broadcast(weights.bias(k));
      for (std::int32_t i = row_offsets[0]; i < row_offsets[taps]; ++i) {
        const Lanes coefficient = broadcast(weights.coefficients()[i]);
        const float* from = s + offsets[i] + start;
        for (int v = 0; v < count(); ++v) sums[v] = multiply_add(coefficient, load(from + v * kLanes), sums[v]);
      }
      float pixels[count() * kLanes];
      for (int v = 0; v < count(); ++v) store(pixels + v * kLanes, sums[v]);
      write_rows(rows, pixels, start, std::min(start + count() * kLanes, length), out + k * out_plane);
    }
  });
}

}  // namespace lcnn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcnn::cpu {

HWY_EXPORT(form_block);
HWY_EXPORT(gather_rows);

void form_block(const DictionaryBlock& block, const float* in, std::int64_t positions, float* s, std::int64_t s_pitch) {
  HWY_DYNAMIC_DISPATCH(form_block)(block, in, positions, s, s_pitch);
}

void gather_rows(const StoredWeights& weights, const std::int32_t* offsets, std::int64_t taps, const float* s,
                 const OutputRows& rows, const ChannelShare& share, float* out, std::int64_t out_plane) {
  HWY_DYNAMIC_DISPATCH(gather_rows)(weights, offsets, taps, s, rows, share, out, out_plane);
}

}  // namespace lcnn::cpu
#endif
