// Which taps are folded into filters, and what these filters are.
#include "kernels/cpu/folded_taps.h"

#include <gtest/gtest.h>

#include <vector>

namespace lcnn {
namespace {

constexpr int kLanes = 16;

Conv2dProblem conv(std::int64_t kernel, std::int64_t stride) {
  return {.in_channels = 64, .height = 56, .width = 56, .out_channels = 128, .kernel = {kernel, kernel}, .stride = {stride, stride},
          .padding = {kernel / 2, kernel / 2}};
}

std::vector<std::int64_t> folded(const Conv2dProblem& conv, std::int64_t dictionary_size, double sparsity, Granularity granularity = Granularity::vector) {
  const LookupProblem problem{conv, dictionary_size, granularity};
  return cpu::taps_to_fold(problem, random_weights(problem, sparsity, Precision::fp32, 3).lookups, kLanes).taps;
}

TEST(FoldedTaps, AreThoseOfDictionariesLargerThanTheirFilters) {
  EXPECT_EQ(folded(conv(1, 2), 256, 3), std::vector<std::int64_t>{0});
  EXPECT_EQ(folded(conv(1, 1), 256, 3), std::vector<std::int64_t>{0});
  EXPECT_EQ(folded(conv(3, 1), 256, 3, Granularity::filter), (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

TEST(FoldedTaps, UnderAStrideAreThoseWhosePhaseFewTapsMeet) {
  // Four corners meet one phase, two by two the edges one each, the middle one.
  EXPECT_EQ(folded(conv(3, 2), 256, 3), (std::vector<std::int64_t>{1, 3, 4, 5, 7}));
}

TEST(FoldedTaps, AreNoneWhereLookupsSave) {
  EXPECT_TRUE(folded(conv(1, 2), 32, 1).empty());
  EXPECT_TRUE(folded(conv(3, 1), 256, 3).empty());
  EXPECT_TRUE(folded(conv(3, 2), 32, 1).empty());
  EXPECT_TRUE(folded(conv(3, 1), 32, 1, Granularity::filter).empty());
  EXPECT_TRUE(folded({.in_channels = 64, .out_channels = 128}, 256, 3).empty());
}

TEST(FoldedTaps, HaveTheDenseWeightsOfTheirTaps) {
  const LookupProblem problem{conv(3, 2), 256};
  const LookupWeights weights = random_weights(problem, 3, Precision::fp32, 3);
  const std::vector<float> filters = cpu::folded_filters({{1, 7}}, problem, weights), dense = dense_weights(problem, weights, Precision::fp32).weight;
  ASSERT_EQ(filters.size() * 9, dense.size() * 2);
  for (std::size_t i = 0; i < filters.size() / 2; ++i) {
    EXPECT_EQ(filters[i * 2], dense[i * 9 + 1]);
    EXPECT_EQ(filters[i * 2 + 1], dense[i * 9 + 7]);
  }
}

}  // namespace
}  // namespace lcnn
