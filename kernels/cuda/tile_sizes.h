// How much of the dictionary stage a warp takes at once: what all kernels that form S share.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace lcnn::cuda {

inline int divide_up(std::int64_t value, std::int64_t by) { return static_cast<int>((value + by - 1) / by); }

// Channels that one step of the matrix units multiplies.
inline int step_channels(Precision precision) { return element_bytes(precision) == 2 ? 16 : 8; }

// Entry tiles of 16 that a warp sums at once with `positions` a lane: what its registers hold. Strict fp32, whose products
// have two terms, keeps two sets of sums.
constexpr int most_entry_tiles(int terms, int positions) {
  const int tiles = 64 / terms / (positions * 4);
  return tiles < 1 ? 1 : tiles;
}
inline int most_entry_tiles(Precision precision, int positions) {
  return most_entry_tiles(precision == Precision::fp32 ? 2 : 1, positions);
}

// Positions of a row of `width` that a lane can load at once: as many as divide it and fill 16 bytes.
inline int widest_vector(std::int64_t width, Precision precision) {
  int vector = 1;
  while (2 * vector * element_bytes(precision) <= 16 && width % (2 * vector) == 0) vector *= 2;
  return vector;
}

}  // namespace lcnn::cuda
