// Operands of warpgroup products as they lie in shared memory: rows of 128 bytes, the 16-byte pieces of a row exchanged as the swizzle
// of 128 bytes does (PTX ISA, matrix descriptors).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/problem.h"
#include "kernels/weights.h"

namespace lcnn::cuda {

// The bits of a value as `precision` stores it.
inline std::uint32_t word_of(Precision precision, float value) {
  return element_bytes(precision) == 2 ? bits_of(precision, value) : std::bit_cast<std::uint32_t>(round_to(precision, value));
}

// Puts a value at the `element`-th of a row into `rows`, which are 32 words each and zero there.
inline void put_swizzled(std::vector<std::uint32_t>& rows, std::size_t row, int element, Precision precision, float value) {
  const int byte = element * static_cast<int>(element_bytes(precision)), swizzled = (byte / 16 ^ static_cast<int>(row % 8)) * 16 + byte % 16;
  rows[row * 32 + swizzled / 4] |= word_of(precision, value) << swizzled % 4 * 8;
}

}  // namespace lcnn::cuda
