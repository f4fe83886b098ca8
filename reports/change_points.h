// Where a series of numbers changes its level.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace lcnn::reports {

// Fewer values than this say too little about their own noise.
inline constexpr std::size_t kFewestForHistory = 6;
// A level lasts at least so many values: one that differs alone is an outlier, or not confirmed yet.
inline constexpr std::size_t kShortestLevel = 2;

// The standard deviation of values around their level, from the median of the successive differences, so that
// neither a few changes nor a few outliers decide (Rousseeuw and Croux, 1993; differences as von Neumann,
// 1941).
double noise_of(std::span<const double> values);

// The first index of every level but the first, in order. Levels are those that minimise the squared
// distances from them plus, for each level, (quantile * noise)^2: optimal partitioning (Jackson and others,
// 2005) with a penalty that a difference of pure noise exceeds as seldom as a standard normal exceeds
// `quantile`. Isolated outliers are first replaced by the running median of three (Tukey, 1977), which leaves
// steps where they are.
std::vector<std::size_t> change_points(std::span<const double> values, double noise, double quantile);

}  // namespace lcnn::reports
