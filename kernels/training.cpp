#include "kernels/training.h"

#include <fmt/format.h>

#include <stdexcept>

#include "kernels/problem.h"

namespace lcnn {

void check_lookups(const LookupProblem& problem, const std::int32_t* row_offsets, const std::int32_t* indices,
                   std::int64_t lookups) {
  const Conv2dProblem stage = problem.lookup_stage();
  const std::int64_t rows = stage.out_channels * stage.taps(), per_group = problem.dictionary_size_per_group();
  const std::int64_t rows_per_group = stage.out_channels_per_group() * stage.taps();
  if (row_offsets[0] != 0 || row_offsets[rows] != lookups) {
    throw std::invalid_argument(fmt::format("lookup offsets run from {} to {}: they must run from 0 to the {} lookups",
                                            row_offsets[0], row_offsets[rows], lookups));
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    if (row_offsets[row] > row_offsets[row + 1]) {
      throw std::invalid_argument(fmt::format("lookup offsets fall from {} to {} at row {}", row_offsets[row],
                                              row_offsets[row + 1], row));
    }
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t first = row / rows_per_group * per_group;
    for (std::int32_t i = row_offsets[row]; i < row_offsets[row + 1]; ++i) {
      if (indices[i] < first || indices[i] >= first + per_group) {
        throw std::invalid_argument(fmt::format("lookup index {} at row {} is outside its group's entries {} to {}",
                                                indices[i], row, first, first + per_group - 1));
      }
    }
  }
}

}  // namespace lcnn
