// Four-dimensional weights as a picture: a grid of tiles.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lcnn::train {

struct Tiles {
  std::int64_t rows = 0, columns = 0, height = 0, width = 0;
  std::vector<float> values;  // [rows, columns, height, width]
};

// The first rows and columns, at most `most` of each; 0: all.
Tiles first_tiles(const Tiles& tiles, std::int64_t most);

// A PNG file of the grid, one tile beside the other with a grey line between: zero is white, positive values are red and negative
// ones blue, the largest magnitude of the grid in full color. A weight is a square of pixels, the larger the fewer there are.
// Throws std::runtime_error, one line that names the file, when it cannot be written or would have a side above 2^16 pixels.
void write_grid(const std::filesystem::path& file, const Tiles& tiles);

}  // namespace lcnn::train
