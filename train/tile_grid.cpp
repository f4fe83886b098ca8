#include "train/tile_grid.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string_view>

#include "train/replace_file.h"

namespace lcnn::train {
namespace {

constexpr std::int64_t kMostPixels = 65536, kWantedPixels = 768, kMostMagnification = 16;
constexpr std::uint8_t kLine = 128;

using Color = std::array<std::uint8_t, 3>;

// share: -1 to 1.
Color color_of(double share) {
  const auto faded = static_cast<std::uint8_t>(std::lround(255.0 * (1.0 - std::abs(share))));
  return share >= 0 ? Color{255, faded, faded} : Color{faded, faded, 255};
}

}  // namespace

Tiles first_tiles(const Tiles& tiles, std::int64_t most) {
  if (most == 0 || (tiles.rows <= most && tiles.columns <= most)) return tiles;
  Tiles first{.rows = std::min(tiles.rows, most), .columns = std::min(tiles.columns, most), .height = tiles.height, .width = tiles.width};
  const std::int64_t tile = tiles.height * tiles.width;
  for (std::int64_t row = 0; row < first.rows; ++row) {
    const auto begin = tiles.values.begin() + row * tiles.columns * tile;
    first.values.insert(first.values.end(), begin, begin + first.columns * tile);
  }
  return first;
}

void write_grid(const std::filesystem::path& file, const Tiles& tiles) {
  const std::int64_t weights_high = tiles.rows * tiles.height, weights_wide = tiles.columns * tiles.width;
  const std::int64_t scale =
      std::clamp<std::int64_t>(kWantedPixels / std::max<std::int64_t>({weights_high, weights_wide, 1}), 1, kMostMagnification);
  const std::int64_t pitch_y = tiles.height * scale + 1, pitch_x = tiles.width * scale + 1;
  const std::int64_t height = tiles.rows * pitch_y + 1, width = tiles.columns * pitch_x + 1;
  if (std::max(height, width) > kMostPixels) {
    throw std::runtime_error(fmt::format("{}: it would be of {}x{} pixels: {} a side are accepted", file.string(), height, width, kMostPixels));
  }
  double largest = 0;
  for (const float value : tiles.values) largest = std::max(largest, std::abs(static_cast<double>(value)));
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(height * width * 3), kLine);
  for (std::int64_t y = 0; y < height - 1; ++y) {
    for (std::int64_t x = 0; x < width - 1; ++x) {
      if (y % pitch_y == 0 || x % pitch_x == 0) continue;
      const std::int64_t row = y / pitch_y, column = x / pitch_x;
      const std::int64_t in_y = (y % pitch_y - 1) / scale, in_x = (x % pitch_x - 1) / scale;
      const std::int64_t at = ((row * tiles.columns + column) * tiles.height + in_y) * tiles.width + in_x;
      const double value = tiles.values[static_cast<std::size_t>(at)];
      std::ranges::copy(color_of(largest > 0 ? value / largest : 0.0), pixels.begin() + (y * width + x) * 3);
    }
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = PNG_FORMAT_RGB;
  std::vector<char> bytes(PNG_IMAGE_PNG_SIZE_MAX(image));
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&image, bytes.data(), &size, 0, pixels.data(), 0, nullptr) == 0) {
    throw std::runtime_error(fmt::format("{}: it cannot be written: {}", file.string(), image.message));
  }
  replace_file(file, std::array{std::string_view(bytes.data(), size)});
}

}  // namespace lcnn::train
