// Bilinear resizing with antialiasing: down the columns, then along the rows.
#include <algorithm>
#include <cmath>

#include "train/image.h"

namespace lcnn::train {
namespace {

// One pixel of the result: the sum over its taps of weights[i] * input[first + i].
struct Taps {
  std::int64_t first = 0;
  std::vector<float> weights;
};

// Of each pixel along an axis that is `from` pixels long and becomes `to`.
std::vector<Taps> triangle_filter(std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double support = std::max(scale, 1.0);
  std::vector<Taps> filter(static_cast<std::size_t>(to));
  for (std::size_t i = 0; i < filter.size(); ++i) {
    const double center = scale * (static_cast<double>(i) + 0.5);
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(center + support + 0.5), from);
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t j = first; j < last; ++j) {
      weights.push_back(std::max(0.0, 1 - std::abs((static_cast<double>(j) + 0.5 - center) / support)));
      sum += weights.back();
    }
    filter[i].first = first;
    for (const double weight : weights) filter[i].weights.push_back(static_cast<float>(weight / sum));
  }
  return filter;
}

}  // namespace

Image resize_image(const Image& image, std::int64_t height, std::int64_t width) {
  if (image.height == height && image.width == width) return image;
  const std::vector<Taps> columns = triangle_filter(image.height, height), rows = triangle_filter(image.width, width);
  Image result{{image.channels, height, width}};
  result.pixels.resize(static_cast<std::size_t>(result.elements()));
  const auto pitch = static_cast<std::size_t>(image.width);
  std::vector<float> row(pitch);  // of the input's width, at the result's height
  std::uint8_t* to = result.pixels.data();
  for (std::int64_t channel = 0; channel < image.channels; ++channel) {
    const std::uint8_t* const plane = image.pixels.data() + channel * image.height * image.width;
    for (const Taps& column : columns) {
      std::ranges::fill(row, 0.0f);
      const std::uint8_t* from = plane + column.first * image.width;
      for (const float weight : column.weights) {
        for (std::size_t x = 0; x < pitch; ++x) row[x] += weight * static_cast<float>(from[x]);
        from += pitch;
      }
      for (const Taps& taps : rows) {
        float sum = 0.5f;
        for (std::size_t i = 0; i < taps.weights.size(); ++i) sum += taps.weights[i] * row[static_cast<std::size_t>(taps.first) + i];
        *to++ = static_cast<std::uint8_t>(std::clamp(sum, 0.0f, 255.0f));
      }
    }
  }
  return result;
}

}  // namespace lcnn::train
