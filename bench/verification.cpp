#include "bench/verification.h"

#include <fmt/format.h>

namespace lcnn::bench {

double library_tolerance(Precision precision) {
  switch (precision) {
    case Precision::fp32: return 1e-5;  // strict: tf32 inside an fp32 row would show as 3e-4
    case Precision::tf32: return 2e-3;
    case Precision::fp16: return 2e-3;
    case Precision::bf16: return 1.6e-2;
  }
  return 0;
}

Verification verification_of(const lcnn::Comparison& found, Precision precision, const Row* baseline) {
  Verification verification{.rel_err = found.rel_err, .tolerance = library_tolerance(precision), .non_finite = found.non_finite,
                            .tolerance_from = "precision"};
  if (baseline != nullptr) {
    verification.tolerance = kErrorFactor * baseline->verification->rel_err;
    verification.tolerance_from = baseline->name;
  }
  return verification;
}

std::string why_incorrect(const Verification& verification, std::string_view elements) {
  if (verification.non_finite > 0) return fmt::format("{} elements of {} are not finite", verification.non_finite, elements);
  if (verification.rel_err <= verification.tolerance) return {};  // false for NaN
  return fmt::format("rel_err {:.2e} is above the tolerance {:.2e} (from {})", verification.rel_err, verification.tolerance,
                     verification.tolerance_from);
}

}  // namespace lcnn::bench
