// The lookup variants for the CPU, one file each.
#pragma once

#include <memory>

#include "kernels/cpu/bf16.h"
#include "kernels/variant.h"

namespace lcnn::cpu {

extern const Variant naive_sparse;
extern const Variant shared_tiled;
extern const Variant precompute_gather;
extern const Variant flat_gather;
extern const Variant batch_gather;
extern const Variant row_gather;

// `prepare` of a class over what X and y are stored as: Bf16 in that precision, else float.
template <template <typename Stored> class Prepared>
std::unique_ptr<PreparedConvolution> prepare_as_stored(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
                                                       const Execution& execution) {
  return (precision == Precision::bf16 ? prepare_as<Prepared<Bf16>> : prepare_as<Prepared<float>>)(problem, weights, precision, layout, execution);
}

}  // namespace lcnn::cpu
