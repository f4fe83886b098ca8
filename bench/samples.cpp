#include "bench/samples.h"

#include <algorithm>

#include "bench/comparison.h"
#include "bench/statistics.h"

namespace lcnn::bench {

void Samples::add(double us, double seconds, const std::optional<ClockReading>& clocks) {
  us_.push_back(us);
  seconds_ += seconds;
  if (clocks) clocks_.push_back(*clocks);
}

bool Samples::enough(const MeasureOptions& options) const {
  if (us_.size() < options.min_samples) return seconds_ > 10 * options.max_seconds && us_.size() >= 3;
  if (us_.size() >= options.max_samples || seconds_ >= options.max_seconds) return true;
  return seconds_ >= options.min_seconds && relative_uncertainty(us_) <= options.uncertainty_goal;
}

Timing Samples::timing(const MeasureOptions& options, std::int64_t runs_per_sample) const {
  const double uncertainty = relative_uncertainty(us_);
  return {.median_us = median(us_),
          .mad_us = median_absolute_deviation(us_),
          .relative_uncertainty = uncertainty,
          .stable = uncertainty <= options.uncertainty_goal,
          .runs_per_sample = runs_per_sample,
          .samples_us = us_};
}

std::optional<Clocks> Samples::clocks() const {
  if (clocks_.empty()) return std::nullopt;
  Clocks clocks;
  std::vector<double> mhz;
  for (const ClockReading& reading : clocks_) {
    mhz.push_back(reading.sm_mhz);
    clocks.throttled = clocks.throttled || reading.throttled;
    for (const std::string& reason : reading.throttle_reasons) {
      if (std::ranges::find(clocks.throttle_reasons, reason) == clocks.throttle_reasons.end()) clocks.throttle_reasons.push_back(reason);
    }
  }
  clocks.sm_mhz_min = static_cast<int>(*std::ranges::min_element(mhz));
  clocks.sm_mhz_median = static_cast<int>(median(mhz));
  return clocks;
}

}  // namespace lcnn::bench
