#include "kernels/lookup_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "kernels/test_problems.h"

namespace lcnn {
namespace {

TEST(LookupTable, HoldsTheNonZerosOfDenseP) {
  // P [2, 3, 1, 2]: output channel 0 looks up entry 2 at tap 0; channel 1 entries 0 and 1 at tap 1.
  const std::vector<float> dense{0, 0, 0, 0, 5, 0, 0, 7, 0, 8, 0, 0};
  const LookupTable table = lookup_table_from_dense(dense, 2, 3, {1, 2});
  EXPECT_THAT(table.row_offsets, testing::ElementsAre(0, 1, 1, 1, 3));
  EXPECT_THAT(table.indices, testing::ElementsAre(2, 0, 1));
  EXPECT_THAT(table.coefficients, testing::ElementsAre(5, 7, 8));
  EXPECT_EQ(lookup_table_to_dense(table), dense);
}

TEST(LookupTable, RoundTripsThroughDensePForRandomProblems) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const TestProblem test = random_problem(seed);
    const LookupTable table = test.weights(Precision::fp16).lookups;
    ASSERT_NO_THROW(validate(table, test.problem)) << test;
    const std::vector<float> dense = lookup_table_to_dense(table);
    ASSERT_EQ(lookup_table_from_dense(dense, table.out_channels, table.dictionary_size, table.kernel), table) << test;
  }
}

TEST(LookupTable, StoresShortIndicesWhereTheDictionaryAllows) {
  LookupTable table{.out_channels = 1, .dictionary_size = 65536, .row_offsets = {0, 2}, .indices = {1, 2},
                    .coefficients = {1, 1}};
  EXPECT_EQ(table.stored_bytes(Precision::fp32), 2 * 4 + 2 * (2 + 4));
  EXPECT_EQ(table.stored_bytes(Precision::bf16), 2 * 4 + 2 * (2 + 2));
  table.dictionary_size = 65537;
  EXPECT_EQ(table.stored_bytes(Precision::fp16), 2 * 4 + 2 * (4 + 2));
}

TEST(LookupTable, RefusesADensePOfTheWrongSize) {
  EXPECT_THROW(lookup_table_from_dense(std::vector<float>(5), 2, 3, {1, 1}), std::invalid_argument);
}

TEST(LookupTable, ValidationNamesWhatIsWrong) {
  const LookupProblem problem{.conv = {.in_channels = 2, .height = 4, .width = 4, .out_channels = 2, .groups = 2},
                              .dictionary_size = 6};
  const LookupTable good{.out_channels = 2, .dictionary_size = 6, .row_offsets = {0, 2, 3}, .indices = {0, 2, 5},
                         .coefficients = {1, 2, 3}};
  EXPECT_NO_THROW(validate(good, problem));
  const auto refuses = [&](auto spoil, const char* what) {
    LookupTable bad = good;
    spoil(bad);
    EXPECT_THAT([&] { validate(bad, problem); },
                testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr(what)));
  };
  refuses([](auto& t) { t.dictionary_size = 5; }, "extents");
  refuses([](auto& t) { t.row_offsets = {0, 3}; }, "do not fit");
  refuses([](auto& t) { t.row_offsets = {0, 4, 3}; }, "fall at row");
  refuses([](auto& t) { t.indices[2] = 2; }, "index 2 in row 1");   // another group's entry
  refuses([](auto& t) { t.indices[1] = 0; }, "index 0 in row 0");   // twice
  refuses([](auto& t) { t.coefficients[1] = std::numeric_limits<float>::quiet_NaN(); }, "not finite");
}

}  // namespace
}  // namespace lcnn
