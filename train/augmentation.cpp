#include "train/augmentation.h"

#include <algorithm>
#include <cmath>

namespace lcnn::train {
namespace {

// SplitMix64's mixing of a counter.
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
  return value ^ (value >> 31);
}

}  // namespace

Window choose_window(const ImageShape& image, const ImageShape& extent, std::int64_t padding, double flip,
                     const std::optional<Draw>& draw, std::uint64_t index) {
  if (!draw) {
    const auto middle = [](std::int64_t whole, std::int64_t part) {
      return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(whole - part) / 2));
    };
    return {middle(image.height, extent.height), middle(image.width, extent.width)};
  }
  std::uint64_t state = mixed(mixed(mixed(draw->seed) ^ draw->epoch) ^ index);
  const auto uniform = [&] {  // from 0 to below 1
    state = mixed(state);
    return static_cast<double>(state >> 11) * 0x1p-53;
  };
  const auto place = [&](std::int64_t whole, std::int64_t part) {
    return static_cast<std::int64_t>(uniform() * static_cast<double>(whole + 2 * padding - part + 1)) - padding;
  };
  Window window;
  window.top = place(image.height, extent.height);
  window.left = place(image.width, extent.width);
  window.flipped = uniform() < flip;
  return window;
}

void copy_window(const std::uint8_t* pixels, const ImageShape& image, const Window& window, const ImageShape& extent,
                 std::uint8_t* to) {
  const std::int64_t first = std::clamp<std::int64_t>(-window.left, 0, extent.width);
  const std::int64_t last = std::clamp<std::int64_t>(image.width - window.left, first, extent.width);
  for (std::int64_t channel = 0; channel < extent.channels; ++channel) {
    for (std::int64_t y = 0; y < extent.height; ++y, to += extent.width) {
      const std::int64_t row = window.top + y;
      std::fill_n(to, extent.width, std::uint8_t{0});
      if (row < 0 || row >= image.height) continue;
      const std::uint8_t* const from = pixels + (channel * image.height + row) * image.width + window.left;
      std::copy(from + first, from + last, to + first);
      if (window.flipped) std::reverse(to, to + extent.width);
    }
  }
}

}  // namespace lcnn::train
