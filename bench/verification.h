// Whether a row is right: its error against float64 beside the library's.
#pragma once

#include <string>
#include <string_view>

#include "bench/row.h"
#include "kernels/reference.h"

namespace lcnn::bench {

// How far from float64 a Conv2d of a library may be in this precision before it is called incorrect.
double library_tolerance(Precision precision);

// "A variant must be as accurate as the library: at most 4 times its error on the same problem."
inline constexpr double kErrorFactor = 4.0;

// What was found, with the tolerance that `baseline`'s own error sets; nullptr: that of the precision.
Verification verification_of(const lcnn::Comparison& found, Precision precision, const Row* baseline);

// One line, empty where it is right. `elements`: of what those that are not finite are, such as "the output".
std::string why_incorrect(const Verification& verification, std::string_view elements);

}  // namespace lcnn::bench
