#include "kernels/operation_count.h"

#include <gtest/gtest.h>

#include "kernels/weights.h"

namespace lcnn {
namespace {

TEST(OperationCount, SeedLayerCountsAsInThePaper) {
  const LookupProblem seed{.conv = {.in_channels = 64, .height = 224, .width = 224, .out_channels = 128,
                                    .kernel = {3, 3}, .padding = {1, 1}},
                           .dictionary_size = 10, .granularity = Granularity::filter};
  const OperationCount count = count_operations(seed, random_weights(seed, 1, Precision::fp32, 1).lookups);
  EXPECT_DOUBLE_EQ(count.conv2d_multiplications, 128.0 * 64 * 9 * 224 * 224);
  EXPECT_DOUBLE_EQ(count.dictionary_multiplications, 10.0 * 64 * 9 * 224 * 224);
  EXPECT_DOUBLE_EQ(count.lookups, 128.0 * 224 * 224);
  EXPECT_NEAR(count.reduction(), 12.5, 0.1);
}

TEST(OperationCount, VectorDictionaryIsEvaluatedAtInputPositions) {
  const LookupProblem problem{.conv = {.batch = 2, .in_channels = 6, .height = 10, .width = 12, .out_channels = 4,
                                       .kernel = {3, 3}, .stride = {2, 2}},
                              .dictionary_size = 5};
  const LookupTable table = random_weights(problem, 2, Precision::fp32, 1).lookups;
  const OperationCount count = count_operations(problem, table);
  EXPECT_DOUBLE_EQ(count.dictionary_multiplications, 2.0 * 5 * 10 * 12 * 6);
  EXPECT_DOUBLE_EQ(count.lookups, static_cast<double>(table.lookups()) * 2 * 4 * 5);
}

TEST(OperationCount, InputAndOutputAreCountedOnce) {
  const Conv2dProblem conv{.batch = 3, .in_channels = 2, .height = 4, .width = 5, .out_channels = 7, .kernel = {2, 2}};
  EXPECT_EQ(input_output_bytes(conv, Precision::fp16), (3 * 2 * 4 * 5 + 3 * 7 * 3 * 4) * 2);
}

}  // namespace
}  // namespace lcnn
