// What the generators of run-time-compiled kernels share.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/problem.h"

namespace lcnn::cuda {

using SourceOut = std::back_insert_iterator<std::string>;

inline int divide_up(std::int64_t value, std::int64_t by) { return static_cast<int>((value + by - 1) / by); }

// What dictionary_tile.cuh calls the arithmetic of a precision.
inline std::string_view math_name(Precision precision) {
  switch (precision) {
    case Precision::fp32: return "Strict";
    case Precision::tf32: return "Tf32";
    case Precision::fp16: return "Half";
    case Precision::bf16: return "Bfloat";
  }
  return "?";
}

// One #define each, and MATH.
inline void write_constants(SourceOut out, Precision precision, const std::vector<std::pair<const char*, std::int64_t>>& constants) {
  for (const auto& [name, value] : constants) fmt::format_to(out, "#define {} {}\n", name, value);
  fmt::format_to(out, "#define MATH {}\n", math_name(precision));
}

// Entry tiles of 16 that a warp sums at once with `vector` positions a lane: what its registers hold; strict fp32 keeps
// two sets of sums.
inline int most_entry_tiles(Precision precision, int vector) {
  const int tiles = (precision == Precision::fp32 ? 32 : 64) / (vector * 4);
  return tiles < 1 ? 1 : tiles;
}

// Positions of a row of `width` that a lane can load at once: as many as divide it and fill 16 bytes.
inline int widest_vector(std::int64_t width, Precision precision) {
  int vector = 1;
  while (2 * vector * element_bytes(precision) <= 16 && width % (2 * vector) == 0) vector *= 2;
  return vector;
}

}  // namespace lcnn::cuda
