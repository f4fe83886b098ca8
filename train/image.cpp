#include "train/image.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "train/read_file.h"

namespace lcnn::train {

Image decode_image(const std::filesystem::path& file) {
  const std::string content = read_file(file);
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
  try {
    if (is_jpeg(bytes)) return decode_jpeg(bytes);
    if (is_png(bytes)) return decode_png(bytes);
    throw std::runtime_error(bytes.empty() ? "it is empty" : "it is neither a JPEG nor a PNG file");
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}", file.string(), error.what()));
  }
}

Image with_channels(Image image, std::int64_t channels) {
  if (image.channels == channels) return image;
  Image result{{channels, image.height, image.width}};
  result.pixels.reserve(static_cast<std::size_t>(result.elements()));
  if (channels == 3) {
    for (int i = 0; i < 3; ++i) result.pixels.insert(result.pixels.end(), image.pixels.begin(), image.pixels.end());
    return result;
  }
  const auto plane = static_cast<std::size_t>(image.height * image.width);
  for (std::size_t i = 0; i < plane; ++i) {
    const int luma = 299 * image.pixels[i] + 587 * image.pixels[plane + i] + 114 * image.pixels[2 * plane + i];
    result.pixels.push_back(static_cast<std::uint8_t>((luma + 500) / 1000));
  }
  return result;
}

std::vector<std::uint8_t> interleaved_buffer(const ImageShape& shape) {
  constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;  // a damaged header must not ask for all memory
  if (shape.height > kMostPixels / shape.width) {
    throw std::runtime_error(fmt::format("it has {}x{} pixels: up to {} are read", shape.height, shape.width, kMostPixels));
  }
  return std::vector<std::uint8_t>(static_cast<std::size_t>(shape.elements()));
}

Image from_interleaved(const ImageShape& shape, std::span<const std::uint8_t> pixels) {
  Image image{shape, std::vector<std::uint8_t>(pixels.size())};
  const auto plane = static_cast<std::size_t>(shape.height * shape.width), channels = static_cast<std::size_t>(shape.channels);
  for (std::size_t channel = 0; channel < channels; ++channel) {
    std::uint8_t* const to = image.pixels.data() + channel * plane;
    for (std::size_t i = 0; i < plane; ++i) to[i] = pixels[i * channels + channel];
  }
  return image;
}

}  // namespace lcnn::train
