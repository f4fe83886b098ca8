// Images of bytes: decoded from JPEG and PNG files, converted, resized.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace lcnn::train {

struct ImageShape {
  std::int64_t channels = 1, height = 1, width = 1;

  std::int64_t elements() const { return channels * height * width; }
  bool operator==(const ImageShape&) const = default;
};

struct Image : ImageShape {
  std::vector<std::uint8_t> pixels;  // [channels, height, width]
};

// The image in a JPEG or PNG file, whatever its name ends in: 1 channel where it is grey, else 3 (RGB). Palettes are resolved,
// 16 bits become 8, an alpha channel is dropped, CMYK becomes RGB. Throws std::runtime_error, one line that names the file and
// what is wrong with it: it cannot be read, is neither, is truncated or damaged, or has more than 2^28 pixels.
Image decode_image(const std::filesystem::path& file);

// The image with 1 channel (its luma, ITU-R BT.601) or 3 (grey repeated).
Image with_channels(Image image, std::int64_t channels);

// Bilinear with antialiasing, as torchvision resizes: where the image shrinks, the triangle filter is as wide as the pixels of
// the result are. The result's pixels are rounded once.
Image resize_image(const Image& image, std::int64_t height, std::int64_t width);

// The decoders, one file each: of a file's bytes. They throw std::runtime_error: what is wrong with them.
bool is_jpeg(std::span<const std::uint8_t> bytes);
bool is_png(std::span<const std::uint8_t> bytes);
Image decode_jpeg(std::span<const std::uint8_t> bytes);
Image decode_png(std::span<const std::uint8_t> bytes);

// What decoders write to: [height, width, channels]. Throws std::runtime_error for more pixels than decode_image takes.
std::vector<std::uint8_t> interleaved_buffer(const ImageShape& shape);
Image from_interleaved(const ImageShape& shape, std::span<const std::uint8_t> pixels);

}  // namespace lcnn::train
