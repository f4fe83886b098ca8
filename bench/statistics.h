// Medians and their certainty: what a report says of samples.
#pragma once

#include <span>

namespace lcnn::bench {

// The middle sample (the mean of the two middle ones). NaN without samples, and with a NaN among them.
double median(std::span<const double> samples);

// The median distance from the median.
double median_absolute_deviation(std::span<const double> samples);

// Half the width of a ~95% confidence interval of the median, relative to it, from the sample's spread:
// 1.96 * 1.2533 * sigma / sqrt(n) with sigma = 1.4826 * MAD. Infinite with fewer than 3 samples.
double relative_uncertainty(std::span<const double> samples);

}  // namespace lcnn::bench
