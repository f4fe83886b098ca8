// How much of the dictionary stage a warp takes at once: what all kernels that form S share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/problem.h"

namespace lcnn::cuda {

inline int divide_up(std::int64_t value, std::int64_t by) { return static_cast<int>((value + by - 1) / by); }

inline int round_up(std::int64_t value, int to) { return divide_up(value, to) * to; }

// Channels of the 128 bytes that a tiled copy takes of a pixel.
inline int slice_channels(Precision precision) { return 128 / static_cast<int>(element_bytes(precision)); }

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

// The tiles of the least costs, cheapest first, of equal ones the earlier; at most `most`.
template <typename Tile>
std::vector<Tile> cheapest_tiles(std::vector<std::pair<double, Tile>> costs, std::size_t most = std::numeric_limits<std::size_t>::max()) {
  std::ranges::stable_sort(costs, std::less<>(), [](const auto& entry) { return entry.first; });
  costs.resize(std::min(costs.size(), most));
  std::vector<Tile> tiles;
  for (const auto& [value, tile] : costs) tiles.push_back(tile);
  return tiles;
}

}  // namespace lcnn::cuda
