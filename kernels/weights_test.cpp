#include "kernels/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <stdexcept>

#include "kernels/test_problems.h"

namespace lcnn {
namespace {

LookupProblem resnet_block() {
  return {.conv = {.in_channels = 64, .height = 56, .width = 56, .out_channels = 64, .kernel = {3, 3},
                   .padding = {1, 1}},
          .dictionary_size = 16};
}

TEST(Weights, RoundToStoresNearestEven) {
  EXPECT_EQ(round_to(Precision::fp32, 1.0f + 0x1p-23f), 1.0f + 0x1p-23f);
  EXPECT_EQ(round_to(Precision::bf16, 1.0f + 0x1p-8f), 1.0f);              // tie, to even
  EXPECT_EQ(round_to(Precision::bf16, 1.0f + 3 * 0x1p-8f), 1.0f + 0x1p-6f);  // tie, to even
  EXPECT_EQ(round_to(Precision::fp16, 1.0f + 0x1p-11f), 1.0f);
  EXPECT_EQ(round_to(Precision::fp16, 1.0f + 0x1.8p-10f), 1.0f + 0x1p-9f);
}

TEST(Weights, CountsVaryAroundTheAverageAndSomePositionsAreEmpty) {
  const LookupWeights weights = random_weights(resnet_block(), 1.0, Precision::fp32, 1);
  const LookupTable& table = weights.lookups;
  std::set<std::int32_t> counts;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    counts.insert(table.row_offsets[row + 1] - table.row_offsets[row]);
  }
  EXPECT_TRUE(counts.contains(0));
  EXPECT_GE(counts.size(), 4u);
  const double average = static_cast<double>(table.lookups()) / static_cast<double>(table.rows());
  EXPECT_NEAR(average, 1.0, 6.0 * std::sqrt(1.0 / 576.0 / 64.0 * 1.0) * 8.0);
}

TEST(Weights, FilterGranularityDrawsTheOriginalsFixedCount) {
  LookupProblem problem = resnet_block();
  problem.granularity = Granularity::filter;
  const LookupTable table = random_weights(problem, 3.0, Precision::fp32, 1).lookups;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    ASSERT_EQ(table.row_offsets[row + 1] - table.row_offsets[row], 3);
  }
  EXPECT_NO_THROW(validate(table, problem));
}

TEST(Weights, AreStoredExactlyAndRepeatForASeed) {
  for (const Precision precision : {Precision::fp16, Precision::bf16}) {
    const LookupWeights weights = random_weights(resnet_block(), 2.0, precision, 9);
    for (const float value : weights.dictionary) ASSERT_EQ(round_to(precision, value), value);
    for (const float value : weights.lookups.coefficients) {
      ASSERT_EQ(round_to(precision, value), value);
      ASSERT_NE(value, 0.0f);
    }
    EXPECT_EQ(random_weights(resnet_block(), 2.0, precision, 9).lookups, weights.lookups);
    EXPECT_NE(random_weights(resnet_block(), 2.0, precision, 10).lookups, weights.lookups);
  }
}

TEST(Weights, RefusesASparsityBeyondTheDictionary) {
  EXPECT_THROW(random_weights(resnet_block(), 16.5, Precision::fp32, 1), std::invalid_argument);
  EXPECT_THROW(random_weights(resnet_block(), -1.0, Precision::fp32, 1), std::invalid_argument);
  EXPECT_THROW(random_weights(resnet_block(), std::nan(""), Precision::fp32, 1), std::invalid_argument);
  LookupProblem huge = resnet_block();
  huge.conv.out_channels = 1 << 20;
  huge.dictionary_size = 1024;
  EXPECT_THROW(random_weights(huge, 1000, Precision::fp32, 1), std::invalid_argument);
}

TEST(Weights, DenseWeightsSumDictionaryEntries) {
  const LookupProblem problem{.conv = {.in_channels = 2, .height = 3, .width = 3, .out_channels = 1,
                                       .kernel = {1, 2}, .bias = false},
                              .dictionary_size = 2};
  const LookupWeights weights{.dictionary = {1, 2, 10, 20},
                              .lookups = {.out_channels = 1, .kernel = {1, 2}, .dictionary_size = 2,
                                          .row_offsets = {0, 2, 3}, .indices = {0, 1, 1},
                                          .coefficients = {3, -1, 0.5f}}};
  // W[0, c, 0, tap]: tap 0 = 3 * D[0] - D[1], tap 1 = 0.5 * D[1].
  EXPECT_EQ(dense_weights(problem, weights, Precision::fp32).weight, (std::vector<float>{-7, 5, -14, 10}));
}

TEST(Weights, Pruning24KeepsTheTwoLargestOfFourAlongChannels) {
  const Conv2dProblem problem{.in_channels = 4, .height = 2, .width = 2, .out_channels = 1, .kernel = {1, 2},
                              .bias = false};
  // W [1, 4, 1, 2]; along channels tap 0 is 1 -4 3 2 and tap 1 is 8 5 6 7.
  const DenseWeights pruned = prune_2_4(problem, {.weight = {1, 8, -4, 5, 3, 6, 2, 7}});
  EXPECT_EQ(pruned.weight, (std::vector<float>{0, 8, -4, 0, 3, 0, 0, 7}));
}

}  // namespace
}  // namespace lcnn
