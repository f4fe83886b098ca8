#include "bench/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace lcnn::bench {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Statistics, MedianIsTheMiddleOrTheMeanOfTheTwoMiddleSamples) {
  EXPECT_DOUBLE_EQ(median(std::vector{5.0}), 5);
  EXPECT_DOUBLE_EQ(median(std::vector{9.0, 1.0, 4.0}), 4);
  EXPECT_DOUBLE_EQ(median(std::vector{9.0, 1.0, 4.0, 2.0}), 3);
  EXPECT_DOUBLE_EQ(median(std::vector{7.0, 1e9, 7.0, -1e9, 6.0}), 7);
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(Statistics, DeviationIsTheMedianDistanceSoOneOutlierDoesNotMoveIt) {
  EXPECT_DOUBLE_EQ(median_absolute_deviation(std::vector{1.0, 2.0, 3.0, 4.0, 5.0}), 1);
  EXPECT_DOUBLE_EQ(median_absolute_deviation(std::vector{1.0, 2.0, 3.0, 4.0, 5000.0}), 1);
  EXPECT_DOUBLE_EQ(median_absolute_deviation(std::vector{3.0, 3.0, 3.0}), 0);
  EXPECT_TRUE(std::isnan(median_absolute_deviation({})));
}

TEST(Statistics, UncertaintyIsHalfTheIntervalOverTheMedian) {
  const std::vector<double> samples{8, 9, 10, 11, 12};
  EXPECT_NEAR(relative_uncertainty(samples), 1.96 * 1.2533 * 1.4826 * 1 / std::sqrt(5.0) / 10, 1e-12);
}

TEST(Statistics, UncertaintyShrinksWithTheRootOfTheNumberOfSamples) {
  std::vector<double> samples;
  double before = std::numeric_limits<double>::infinity();
  for (int quarter = 0; quarter < 4; ++quarter) {
    for (int i = 0; i < 5; ++i) samples.push_back(98 + i);
    EXPECT_LT(relative_uncertainty(samples), before);
    before = relative_uncertainty(samples);
  }
  EXPECT_NEAR(relative_uncertainty(std::vector(samples.begin(), samples.begin() + 5)) / before, 2, 1e-12);
}

TEST(Statistics, FewerThanThreeSamplesSayNothing) {
  EXPECT_TRUE(std::isinf(relative_uncertainty({})));
  EXPECT_TRUE(std::isinf(relative_uncertainty(std::vector{4.0})));
  EXPECT_TRUE(std::isinf(relative_uncertainty(std::vector{4.0, 4.0})));
  EXPECT_DOUBLE_EQ(relative_uncertainty(std::vector{4.0, 4.0, 4.0}), 0);
}

TEST(Statistics, NotANumberNeverPassesWhereverItStands) {
  for (std::size_t place = 0; place < 5; ++place) {
    std::vector<double> samples{1, 1, 1, 1, 1};
    samples[place] = kNan;
    EXPECT_TRUE(std::isnan(median(samples))) << place;
    EXPECT_FALSE(relative_uncertainty(samples) <= 1e9) << place;
  }
  EXPECT_FALSE(relative_uncertainty(std::vector{0.0, 0.0, 0.0}) <= 1e9);
}

}  // namespace
}  // namespace lcnn::bench
