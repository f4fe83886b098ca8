#include "kernels/lookup_table.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace lcnn {

std::int64_t LookupTable::stored_bytes(Precision precision) const {
  const std::int64_t index_bytes = dictionary_size <= kMaxDictionarySize16Bit ? 2 : 4;
  return static_cast<std::int64_t>(row_offsets.size()) * 4 + lookups() * (index_bytes + element_bytes(precision));
}

LookupTable lookup_table_from_dense(std::span<const float> dense, std::int64_t out_channels,
                                    std::int64_t dictionary_size, Pair kernel) {
  const std::int64_t taps = kernel[0] * kernel[1];
  if (static_cast<std::int64_t>(dense.size()) != out_channels * dictionary_size * taps) {
    throw std::invalid_argument(fmt::format("dense P has {} elements: {} x {} x {} x {} needs {}", dense.size(),
                                            out_channels, dictionary_size, kernel[0], kernel[1],
                                            out_channels * dictionary_size * taps));
  }
  LookupTable table{.out_channels = out_channels, .kernel = kernel, .dictionary_size = dictionary_size};
  table.row_offsets.reserve(table.rows() + 1);
  table.row_offsets.push_back(0);
  for (std::int64_t k = 0; k < out_channels; ++k) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t entry = 0; entry < dictionary_size; ++entry) {
        const float coefficient = dense[(k * dictionary_size + entry) * taps + tap];
        if (coefficient == 0.0f) continue;
        table.indices.push_back(static_cast<std::uint32_t>(entry));
        table.coefficients.push_back(coefficient);
      }
      table.row_offsets.push_back(static_cast<std::int32_t>(table.indices.size()));
    }
  }
  return table;
}

std::vector<float> lookup_table_to_dense(const LookupTable& table) {
  const std::int64_t taps = table.kernel[0] * table.kernel[1];
  std::vector<float> dense(table.rows() * table.dictionary_size, 0.0f);
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    const std::int64_t k = row / taps, tap = row % taps;
    for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
      dense[(k * table.dictionary_size + table.indices[i]) * taps + tap] = table.coefficients[i];
    }
  }
  return dense;
}

void validate(const LookupTable& table, const LookupProblem& problem) {
  const auto fail = [](std::string message) { throw std::invalid_argument("lookup table: " + message); };
  const Conv2dProblem stage = problem.lookup_stage();
  if (table.out_channels != stage.out_channels || table.kernel != stage.kernel ||
      table.dictionary_size != problem.dictionary_size) {
    fail(fmt::format("extents {}x{}x{}x{} differ from the problem's {}x{}x{}x{}", table.out_channels,
                     table.dictionary_size, table.kernel[0], table.kernel[1], stage.out_channels,
                     problem.dictionary_size, stage.kernel[0], stage.kernel[1]));
  }
  if (static_cast<std::int64_t>(table.row_offsets.size()) != table.rows() + 1 || table.row_offsets.front() != 0 ||
      table.row_offsets.back() != table.lookups() || table.coefficients.size() != table.indices.size()) {
    fail("row_offsets, indices and coefficients do not fit each other");
  }
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    if (table.row_offsets[row] > table.row_offsets[row + 1]) fail(fmt::format("row_offsets fall at row {}", row));
  }
  const std::int64_t per_group = problem.dictionary_size_per_group();
  const std::int64_t rows_per_group = stage.out_channels_per_group() * stage.taps();
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    const std::int64_t first = row / rows_per_group * per_group;
    std::int64_t previous = first - 1;
    for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
      const std::int64_t index = table.indices[i];
      if (index <= previous || index >= first + per_group) {
        fail(fmt::format("index {} in row {}: ascending indices in [{}, {}) are accepted", index, row, first,
                         first + per_group));
      }
      if (!std::isfinite(table.coefficients[i])) fail(fmt::format("a coefficient in row {} is not finite", row));
      previous = index;
    }
  }
}

}  // namespace lcnn
