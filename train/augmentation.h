// How images are varied while a network is trained.
#pragma once

#include <cstdint>
#include <optional>

#include "train/image.h"

namespace lcnn::train {

inline constexpr std::int64_t kMostCrop = 4096;

struct Augmentation {
  std::int64_t crop = 0;  // pixels: how far an image is shifted at most, upwards and downwards, left and right
  double flip = 0;        // the probability that left and right are exchanged
};

// What random numbers depend on, besides the image's index: not on the order of images, nor on what was drawn before.
struct Draw {
  std::uint64_t seed = 0, epoch = 0;
};

// The part of an image that a network sees.
struct Window {
  std::int64_t top = 0, left = 0;  // may be outside of the image
  bool flipped = false;
};

// The window of `extent` (height, width) in an image of `image`'s. Without a draw, its middle, unflipped; else anywhere in the
// image with `padding` pixels on all sides.
Window choose_window(const ImageShape& image, const ImageShape& extent, std::int64_t padding, double flip,
                     const std::optional<Draw>& draw, std::uint64_t index);

// Writes [channels, height, width] of `extent`; 0 where the window is outside of the image.
void copy_window(const std::uint8_t* pixels, const ImageShape& image, const Window& window, const ImageShape& extent,
                 std::uint8_t* to);

}  // namespace lcnn::train
