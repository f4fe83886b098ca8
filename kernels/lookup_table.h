// The stored form of the sparse tensor P (paper eq. 6): lookup_indices and lookup_coefficients as CSR.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/problem.h"

namespace lcnn {

// Compressed rows over (output channel, r, c): row = (output_channel * kh + r) * kw + c holds the pairs
// indices[i], coefficients[i] for i in [row_offsets[row], row_offsets[row + 1]), indices ascending.
// The number of lookups varies from row to row and may be 0.
struct LookupTable {
  std::int64_t out_channels = 0;
  Pair kernel{1, 1};
  std::int64_t dictionary_size = 0;
  std::vector<std::int32_t> row_offsets;    // [out_channels * kh * kw + 1]
  std::vector<std::uint32_t> indices;       // [lookups], each in [0, dictionary_size)
  std::vector<float> coefficients;          // [lookups]

  std::int64_t rows() const { return out_channels * kernel[0] * kernel[1]; }
  std::int64_t lookups() const { return static_cast<std::int64_t>(indices.size()); }

  // Bytes as stored: 32-bit offsets, 16-bit indices where the dictionary allows (else 32), one coefficient each.
  std::int64_t stored_bytes(Precision precision) const;

  bool operator==(const LookupTable&) const = default;
};

// The largest dictionary whose entries 16-bit indices reach.
inline constexpr std::int64_t kMaxDictionarySize16Bit = 65536;

// P [out_channels, dictionary_size, kh, kw], row-major, to CSR: every non-zero becomes one lookup.
// Throws std::invalid_argument when the size of `dense` is not the product of the extents.
LookupTable lookup_table_from_dense(std::span<const float> dense, std::int64_t out_channels,
                                    std::int64_t dictionary_size, Pair kernel);

// CSR to P [out_channels, dictionary_size, kh, kw]. Loses nothing but lookups whose coefficient is zero.
std::vector<float> lookup_table_to_dense(const LookupTable& table);

// Throws std::invalid_argument when the table is not a well-formed P of `problem`: extents, offsets that are not
// ascending, indices outside the output channel's group or not ascending, coefficients that are not finite.
void validate(const LookupTable& table, const LookupProblem& problem);

}  // namespace lcnn
