// The lookups as small dense products: what 16 output channels look up, 16 rows of S at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

inline constexpr int kGroupChannels = 16;  // output channels of a product
inline constexpr int kStepRows = 16;       // rows of S of a product
inline constexpr int kStepWords = 36;      // of 16 bytes, of a step: 32 of coefficients, 4 of places

// How S lies in a block's tile, in words of 16 bytes: [kernel column][row][entry][output column], a copy for each kernel
// column, so that output columns lie one above the other for all of them.
struct CompactPlaces {
  int entry_words, row_words, column_words;

  // Output rows of `words` words: entries behind each other begin in different banks.
  CompactPlaces(int words, int entries, int rows)
      : entry_words(words > 8 || (words & (words - 1)) != 0 ? words | 1 : words), row_words(entries * entry_words), column_words(rows * row_words) {}

  // Where word 0 of an entry lies; word w lies there ^ w where the words of a row are a power of 2, else w further.
  int entry(int index) const {
    return index * entry_words + (entry_words <= 8 && (entry_words & 1) == 0 ? index * entry_words / 8 & (entry_words - 1) : 0);
  }
};

struct CompactLookups {
  // [step][kStepWords * 4]: the coefficients as the lanes of mma m16n8k16 hold operand A, [lane][4]; then kStepRows places
  // in bytes from an output row's S. What a step does not need has coefficient 0.
  std::vector<std::uint32_t> steps;
  std::vector<std::int32_t> first_step;  // [groups + 1]: of 16 channels
};

// Rows that are loaded together, eight of them, lie in different banks as far as their number allows. The product of a step
// holds the rows of S that any of the 16 channels looks up: few of them where lookups are sparse, all where P is dense.
// `stage` is a lookup stage without groups, `precision` fp16 or bf16, to which the coefficients have been rounded.
CompactLookups compact_lookups(const Conv2dProblem& stage, const LookupTable& lookups, Precision precision, const CompactPlaces& places);

// The most steps that a block has which takes `block_groups` groups of channels.
int most_block_steps(const std::vector<std::int32_t>& first_step, int block_groups);

}  // namespace lcnn::cuda
