// The lookups as small dense products: what 16 output channels look up at one kernel column, 16 rows of S at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

inline constexpr int kGroupChannels = 16;  // output channels of a product
inline constexpr int kStepRows = 16;       // rows of S of a product
inline constexpr int kStepWords = 36;      // of 16 bytes, of a step: 32 of coefficients, 4 of places

// How S lies in a block's tile, [row][entry][column], in words of 16 bytes.
struct CompactPlaces {
  int entry_words, row_words;
};

struct CompactLookups {
  // [step][kStepWords * 4]: the coefficients as the lanes of mma m16n8k16 hold operand A, [lane][4]; then kStepRows places
  // in bytes from a pixel's row and column in entry 0. What a step does not need has coefficient 0.
  std::vector<std::uint32_t> steps;
  std::vector<std::int32_t> first_step;  // [groups * kernel_w + 1]: of 16 channels and a kernel column
};

// Rows that are loaded together, eight of them, lie in different banks as far as their number allows. The product of a step
// holds the rows of S that any of the 16 channels looks up: few of them where lookups are sparse, all where P is dense.
// `stage` is a lookup stage without groups, `precision` fp16 or bf16, to which the coefficients have been rounded.
CompactLookups compact_lookups(const Conv2dProblem& stage, const LookupTable& lookups, Precision precision, const CompactPlaces& places);

// The most steps that a block has which takes `block_groups` groups of channels.
int most_block_steps(const std::vector<std::int32_t>& first_step, int kernel_w, int block_groups);

}  // namespace lcnn::cuda
