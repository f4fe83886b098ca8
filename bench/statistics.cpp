#include "bench/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace lcnn::bench {

double median(std::span<const double> samples) {
  // One NaN makes the median NaN: sorting would hide it.
  if (samples.empty() || std::ranges::any_of(samples, [](double sample) { return std::isnan(sample); })) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  std::vector<double> sorted(samples.begin(), samples.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  if (sorted.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(sorted.begin(), middle)) / 2;
}

double median_absolute_deviation(std::span<const double> samples) {
  const double centre = median(samples);
  std::vector<double> distances;
  distances.reserve(samples.size());
  for (const double sample : samples) distances.push_back(std::abs(sample - centre));
  return median(distances);
}

double relative_uncertainty(std::span<const double> samples) {
  if (samples.size() < 3) return std::numeric_limits<double>::infinity();
  const double sigma = 1.4826 * median_absolute_deviation(samples);
  return 1.96 * 1.2533 * sigma / std::sqrt(static_cast<double>(samples.size())) / median(samples);
}

}  // namespace lcnn::bench
