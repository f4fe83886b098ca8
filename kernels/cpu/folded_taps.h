// Taps of the kernel whose lookups cost more than the filters that they stand for, and these filters.
//
// Each phase of a stride needs S of its own positions for the few taps that meet it. Where a dictionary has more entries than
// these taps have filters (a 1x1 kernel with more entries than output channels, the middle of a 3x3 kernel of stride 2), the
// dense weights of these taps are the smaller product: P times D, multiplied at preparation.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"
#include "kernels/weights.h"

namespace lcnn::cpu {

struct FoldedTaps {
  std::vector<std::int64_t> taps;  // r * kw + s, ascending; none where lookups cost less everywhere

  bool has(std::int64_t tap) const;
};

// What costs less with vectors of `lanes` floats. Filters (D has the taps) are folded altogether or not at all; an input of one
// position never is.
FoldedTaps taps_to_fold(const LookupProblem& problem, const LookupTable& lookups, int lanes);

// W [out_channels, in_channels / groups, folded taps], summed in float64 and rounded once.
std::vector<float> folded_filters(const FoldedTaps& folded, const LookupProblem& problem, const LookupWeights& weights);

}  // namespace lcnn::cpu
