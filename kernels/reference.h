// The float64 reference that every implementation is verified against: direct evaluation, no shortcuts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/problem.h"
#include "kernels/weights.h"

namespace lcnn {

// Y = conv(X, W) + b [batch, out_channels, out_height, out_width] in float64.
// X is [batch, in_channels, height, width]; an empty bias adds nothing. Runs on all OpenMP threads.
std::vector<double> reference_conv2d(const Conv2dProblem& problem, std::span<const double> x,
                                     std::span<const float> weight, std::span<const float> bias);

// S = conv(X, D), Y = conv(S, P) + b (paper eq. 4-7), both in float64. Shapes as above.
std::vector<double> reference_lookup_conv2d(const LookupProblem& problem, const LookupWeights& weights,
                                            std::span<const double> x);

// What a comparison with the reference found.
struct Comparison {
  double rel_err = 0.0;           // ||y - reference|| / ||reference||; ||y|| where the reference is all zero
  std::int64_t non_finite = 0;    // elements of y that are NaN or infinite: never written, or overflown
};

// Both sequences in the same layout. rel_err is NaN when any element of y is.
Comparison compare(std::span<const float> y, std::span<const double> reference);

// Combines the two sums of squares that a comparison collects.
Comparison make_comparison(double error_squares, double reference_squares, std::int64_t non_finite);

}  // namespace lcnn
