#include "reports/ratio_interval.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace lcnn::reports {
namespace {

constexpr int kResamples = 2000;
constexpr double kTail = 0.005;  // of a two-sided 99% interval
constexpr double kNormalQuantile = 2.5758293;

// Ranks, so that one outlier does not decide; samples of one value, such as a coarse clock's, keep their
// order.
std::vector<std::uint32_t> ranks_of(std::span<const double> samples) {
  std::vector<std::uint32_t> order(samples.size()), ranks(samples.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t i) { return samples[i]; });
  for (std::uint32_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = rank;
  return ranks;
}

double neighbour_correlation(std::span<const std::uint32_t> ranks) {
  const double centre = (static_cast<double>(ranks.size()) - 1) / 2;
  double products = 0, squares = 0;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    squares += (ranks[i] - centre) * (ranks[i] - centre);
    if (i > 0) products += (ranks[i - 1] - centre) * (ranks[i] - centre);
  }
  return products / squares;
}

// At least four blocks: fewer could not show how they differ.
std::size_t block_length(double correlation, std::size_t samples) {
  const double rho = std::clamp(correlation, 0.0, 0.97);
  const double length = std::pow(std::sqrt(6.0) * rho / (1 - rho * rho), 2.0 / 3) * std::cbrt(samples);
  return std::clamp<std::size_t>(std::llround(std::ceil(length)), 1, std::max<std::size_t>(1, samples / 4));
}

// The 99.5% quantile of Student's t over the normal one's: Cornish and Fisher's expansion, 3% off at three
// degrees of freedom.
double student_widening(double degrees) {
  const double z = kNormalQuantile, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
  const double t = z + (z3 + z) / (4 * degrees) + (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees * degrees) +
                   (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * degrees * degrees * degrees);
  return t / z;
}

// Draws medians of block resamples. Resamples are counted by rank, so that no draw has to sort.
class MedianBootstrap {
 public:
  explicit MedianBootstrap(std::span<const double> samples)
      : sorted_(samples.begin(), samples.end()), ranks_(ranks_of(samples)), counts_(samples.size()) {
    std::ranges::sort(sorted_);
    length_ = block_length(neighbour_correlation(ranks_), ranks_.size());
  }

  double blocks() const { return static_cast<double>(ranks_.size()) / static_cast<double>(length_); }

  double draw(std::mt19937_64& random) {
    const std::size_t n = ranks_.size();
    std::ranges::fill(counts_, 0U);
    for (std::size_t drawn = 0; drawn < n;) {
      // Not std::uniform_int_distribution: libraries differ in it, and a verdict should not.
      std::size_t at = ((random() >> 32) * n) >> 32;
      for (std::size_t i = 0; i < length_ && drawn < n; ++i, ++drawn) {
        ++counts_[ranks_[at]];
        if (++at == n) at = 0;
      }
    }
    return (value_at((n - 1) / 2) + value_at(n / 2)) / 2;
  }

 private:
  double value_at(std::size_t position) const {
    std::size_t rank = 0;
    for (std::size_t seen = counts_[0]; seen <= position; seen += counts_[rank]) ++rank;
    return sorted_[rank];
  }

  std::vector<double> sorted_;
  std::vector<std::uint32_t> ranks_, counts_;
  std::size_t length_ = 1;
};

// How many of the pairwise differences to leave out at either end: the largest u such that the rank-sum statistic of two
// sides of one distribution is below u in no more than kTail of all orders. Counts them by Mann and Whitney's recursion.
std::size_t left_out_pairs(std::size_t base, std::size_t now) {
  // orders[u]: of the first i values of one side and all of the other, with u pairs in which the one is larger.
  std::vector<double> orders(base * now + 1);
  orders[0] = 1;
  double all = 1;
  for (std::size_t i = 1; i <= base; ++i) {
    // Multiplies the generating function by (1 - q^(now + i)) / (1 - q^i).
    for (std::size_t u = orders.size(); u-- > now + i;) orders[u] -= orders[u - now - i];
    for (std::size_t u = i; u < orders.size(); ++u) orders[u] += orders[u - i];
    all *= static_cast<double>(now + i) / static_cast<double>(i);
  }
  std::size_t left_out = 0;
  for (double below = orders[0]; below <= kTail * all && 2 * left_out + 2 < orders.size(); below += orders[left_out])
    ++left_out;
  return left_out;
}

}  // namespace

std::optional<std::string> why_not_judged(std::span<const double> samples) {
  if (samples.empty()) return "has no samples";
  if (samples.size() < kFewestSamples) {
    return fmt::format("has {} sample{}, {} are needed", samples.size(), samples.size() == 1 ? "" : "s",
                       kFewestSamples);
  }
  for (const double sample : samples) {
    if (!(sample > 0 && std::isfinite(sample)))
      return fmt::format("has a sample that is no time: {}", sample);
  }
  return std::nullopt;
}

double median_of(std::span<const double> samples) {
  if (samples.empty() || std::ranges::any_of(samples, [](double sample) { return std::isnan(sample); }))
    return std::numeric_limits<double>::quiet_NaN();
  std::vector<double> sorted(samples.begin(), samples.end());
  std::ranges::sort(sorted);
  return (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
}

double fast_of(std::span<const double> samples) {
  std::vector<double> sorted(samples.begin(), samples.end());
  std::ranges::sort(sorted);
  return sorted[sorted.size() / 10];
}

bool disturbed(std::span<const double> samples) { return !(median_of(samples) <= 1.5 * fast_of(samples)); }

Interval ratio_interval(std::span<const double> base, std::span<const double> now) {
  std::mt19937_64 random(1);
  MedianBootstrap of_base(base), of_now(now);
  std::array<double, kResamples> logs{};
  for (double& log : logs) {
    const double base_median = of_base.draw(random);
    log = std::log(of_now.draw(random) / base_median);
  }
  std::ranges::sort(logs);
  const double centre = std::log(median_of(now) / median_of(base));
  const double widening = student_widening(std::max(1.0, std::min(of_base.blocks(), of_now.blocks()) - 1));
  const auto low = static_cast<std::size_t>(kTail * kResamples);
  return {std::exp(centre + widening * (logs[low] - centre)),
          std::exp(centre + widening * (logs[kResamples - 1 - low] - centre))};
}

Interval ratio_interval_of_processes(std::span<const double> base, std::span<const double> now) {
  std::vector<double> ratios;
  for (const double before : base) {
    for (const double after : now) ratios.push_back(after / before);
  }
  std::ranges::sort(ratios);
  // The u-th smallest bounds an interval that leaves out u - 1.
  const std::size_t end = std::max<std::size_t>(1, left_out_pairs(base.size(), now.size())) - 1;
  return {ratios[end], ratios[ratios.size() - 1 - end]};
}

}  // namespace lcnn::reports
