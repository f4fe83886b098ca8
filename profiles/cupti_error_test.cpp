#include "profiles/cupti_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lcnn::profiles {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(CuptiError, WhatIsNotPermittedSaysWhatToChange) {
  EXPECT_THAT(error_text(CUPTI_ERROR_INSUFFICIENT_PRIVILEGES), StartsWith("CUPTI_ERROR_INSUFFICIENT_PRIVILEGES: "));
  EXPECT_THAT(error_text(CUPTI_ERROR_INSUFFICIENT_PRIVILEGES), HasSubstr("NVreg_RestrictProfilingToAdminUsers=0"));
  EXPECT_THAT(error_text(CUPTI_ERROR_HARDWARE_BUSY), HasSubstr("dcgmi profiling --pause"));
}

TEST(CuptiError, OtherErrorsAreNamedAndSuccessIsNone) {
  EXPECT_EQ(error_text(CUPTI_ERROR_INVALID_METRIC_NAME), "CUPTI_ERROR_INVALID_METRIC_NAME");
  EXPECT_NO_THROW(check(CUPTI_SUCCESS, "cuptiX"));
  try {
    check(CUPTI_ERROR_INVALID_PARAMETER, "cuptiX");
    FAIL() << "was accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "cuptiX: CUPTI_ERROR_INVALID_PARAMETER");
  }
}

}  // namespace
}  // namespace lcnn::profiles
