// How much slower NEW is than BASE, and how sure that is, from both reports' raw samples.
#pragma once

#include <optional>
#include <span>
#include <string>

namespace lcnn::reports {

struct Interval {
  double low = 0, high = 0;
};

// Fewer samples than this on a side give no verdict: the bootstrap of a median then only repeats them.
inline constexpr std::size_t kFewestSamples = 5;

// Why the samples cannot be judged ("has 3 samples, 5 are needed"), or nothing.
std::optional<std::string> why_not_judged(std::span<const double> samples);

// The median; of an even number, the mean of the two middle ones. NaN with a NaN among them, and without
// samples.
double median_of(std::span<const double> samples);

// The sample that a tenth of them do not exceed: what the row takes while nothing else disturbs it. Not for
// no samples.
double fast_of(std::span<const double> samples);

// Whether something held up most runs: the median sample takes over 1.5 times as long as the fast ones.
bool disturbed(std::span<const double> samples);

// A 99% confidence interval of median(now) / median(base), by a circular block bootstrap. Requires samples
// that why_not_judged has nothing against. The same samples give the same interval.
//
// Blocks, because neighbouring samples of one process resemble one another (the committed H100 report's have
// a lag-1 rank correlation of 0.5 in the median, 0.9 at most): resampling them one by one would make the
// interval several times too narrow. A side's block length follows from its own correlation (Carlstein's rule
// for an AR(1) process); as few blocks then say little about their own spread, the interval is widened as
// Student's t is, by the number of blocks. 99%, because a report has a hundred rows, and each is one more
// chance of a false alarm.
Interval ratio_interval(std::span<const double> base, std::span<const double> now);

// The same of values that are independent of one another, such as one a process: no value says how often another occurs.
// The interval of Hodges and Lehmann (1963), which inverts the rank-sum test of Mann and Whitney: whatever the
// distribution, it misses the ratio of two sides of one shape once in a hundred times. With kFewestSamples a side it reaches from
// the smallest to the largest ratio of two values.
Interval ratio_interval_of_processes(std::span<const double> base, std::span<const double> now);

}  // namespace lcnn::reports
