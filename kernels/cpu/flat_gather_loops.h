// The loops of flat_gather that hold pixels in registers, each compiled for every instruction set.
#pragma once

#include <cstdint>

#include "kernels/cpu/weights_copy.h"

namespace lcnn::cpu {

// Floats that a loop may read beyond the pixels it was asked for: those of the widest register.
inline constexpr std::int64_t kReadBeyond = 16;

// Some entries of one group's dictionary: values [inner][entries], entries 4, 5, 6 or 8; the pixels that inner index j
// meets begin at offsets[j] of an input.
struct DictionaryBlock {
  const float* values;
  int entries;
  std::int64_t inner;
  const std::int64_t* offsets;
};

// s [entries][s_pitch] = the block's products with `positions` pixels of an input.
void form_block(const DictionaryBlock& block, const float* in, std::int64_t positions, float* s, std::int64_t s_pitch);

// Output rows whose pixels lie `pitch` apart in S, and closely in the output.
struct OutputRows {
  std::int64_t rows, width, pitch;
};

// Which output channels: first, first + step, ...
struct ChannelShare {
  std::int64_t first, step, channels;
};

// out [channels][out_plane] = bias + lookups, of a strip's rows. Lookup i of an output pixel reads S at offsets[i] from
// the pixel's own place in `s`; channel k has the lookups of `taps` rows of the table.
void gather_rows(const StoredWeights& weights, const std::int32_t* offsets, std::int64_t taps, const float* s,
                 const OutputRows& rows, const ChannelShare& share, float* out, std::int64_t out_plane);

}  // namespace lcnn::cpu
