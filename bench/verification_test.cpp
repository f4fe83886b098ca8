#include "bench/verification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace lcnn::bench {
namespace {

using testing::HasSubstr;

TEST(LibraryTolerance, IsTooStrictForTheNextLowerPrecision) {
  // Rounding to 10 bits costs some 2e-4, to 7 bits 2e-3: fp32 may not hide the one, nor fp16 the other.
  EXPECT_LT(library_tolerance(Precision::fp32), 1e-4);
  EXPECT_LE(library_tolerance(Precision::tf32), 2e-3);
  EXPECT_LE(library_tolerance(Precision::fp16), 2e-3);
  EXPECT_GT(library_tolerance(Precision::bf16), library_tolerance(Precision::fp16));
}

TEST(Verification, TheBaselinesErrorSetsTheTolerance) {
  const Row baseline{.name = "Conv2d/some", .verification = Verification{.rel_err = 1e-6}};
  for (const auto& [rel_err, right] : {std::pair(3.9e-6, true), std::pair(4.1e-6, false), std::pair(std::numeric_limits<double>::quiet_NaN(), false)}) {
    const Verification found = verification_of({.rel_err = rel_err}, Precision::fp32, &baseline);
    EXPECT_EQ(found.tolerance_from, "Conv2d/some");
    EXPECT_EQ(why_incorrect(found, "the output").empty(), right) << rel_err;
  }
  EXPECT_THAT(why_incorrect(verification_of({.rel_err = 5e-6}, Precision::fp32, &baseline), ""),
              HasSubstr("5.00e-06 is above the tolerance 4.00e-06 (from Conv2d/some)"));
}

TEST(Verification, WithoutABaselineThePrecisionSetsTheTolerance) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const Verification found = verification_of({.rel_err = 1e-3}, precision, nullptr);
    EXPECT_EQ(found.tolerance, library_tolerance(precision));
    EXPECT_EQ(found.tolerance_from, "precision");
    EXPECT_EQ(why_incorrect(found, "").empty(), precision == Precision::bf16);
  }
}

TEST(Verification, WhatIsNotFiniteIsIncorrectWhateverTheError) {
  EXPECT_EQ(why_incorrect(verification_of({.rel_err = 0, .non_finite = 2}, Precision::fp32, nullptr), "the output"),
            "2 elements of the output are not finite");
}

}  // namespace
}  // namespace lcnn::bench
