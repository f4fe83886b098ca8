#include "reports/change_points.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "reports/ratio_interval.h"

namespace lcnn::reports {
namespace {

double median_of_three(double a, double b, double c) {
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

// The ends take the median of the three nearest: one value there is no level either.
std::vector<double> without_outliers(std::span<const double> values) {
  std::vector<double> smooth;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t middle = std::clamp<std::size_t>(i, 1, values.size() - 2);
    smooth.push_back(median_of_three(values[middle - 1], values[middle], values[middle + 1]));
  }
  return smooth;
}

// The squared distances of values[begin, end) from their mean, in constant time.
class Spread {
 public:
  explicit Spread(const std::vector<double>& values) : sums_{0}, squares_{0} {
    for (const double value : values) {
      const double centred = value - values.front();  // sums of small numbers lose less
      sums_.push_back(sums_.back() + centred);
      squares_.push_back(squares_.back() + centred * centred);
    }
  }
  double operator()(std::size_t begin, std::size_t end) const {
    const double sum = sums_[end] - sums_[begin];
    return std::max(0.0, squares_[end] - squares_[begin] - sum * sum / static_cast<double>(end - begin));
  }

 private:
  std::vector<double> sums_, squares_;
};

}  // namespace

double noise_of(std::span<const double> values) {
  std::vector<double> differences;
  for (std::size_t i = 1; i < values.size(); ++i) differences.push_back(std::abs(values[i] - values[i - 1]));
  constexpr double kNormalMedian = 0.6744898;  // of a standard normal's size
  return median_of(differences) / kNormalMedian / std::numbers::sqrt2;
}

std::vector<std::size_t> change_points(std::span<const double> values, double noise, double quantile) {
  const std::size_t count = values.size();
  if (count < 2 * kShortestLevel) return {};
  const Spread spread(without_outliers(values));
  const double penalty = quantile * quantile * noise * noise;
  std::vector<double> least(count + 1, std::numeric_limits<double>::infinity());  // of the first values
  std::vector<std::size_t> last_level(count + 1, 0);
  least[0] = -penalty;
  for (std::size_t end = kShortestLevel; end <= count; ++end) {
    for (std::size_t begin = 0; begin + kShortestLevel <= end; ++begin) {
      const double cost = least[begin] + spread(begin, end) + penalty;
      if (cost < least[end]) {
        least[end] = cost;
        last_level[end] = begin;
      }
    }
  }
  std::vector<std::size_t> changes;
  for (std::size_t begin = last_level[count]; begin > 0; begin = last_level[begin]) changes.push_back(begin);
  std::ranges::reverse(changes);
  return changes;
}

}  // namespace lcnn::reports
