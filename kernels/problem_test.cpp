#include "kernels/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>

namespace lcnn {
namespace {

LookupProblem valid_problem() {
  return {.conv = {.in_channels = 4, .height = 8, .width = 9, .out_channels = 6, .kernel = {3, 3}},
          .dictionary_size = 10};
}

TEST(Problem, OutputExtentsFollowConv2d) {
  Conv2dProblem conv{.height = 224, .width = 41, .kernel = {11, 5}, .stride = {4, 1}, .padding = {2, 3},
                     .dilation = {1, 2}};
  EXPECT_EQ(conv.out_height(), 55);
  EXPECT_EQ(conv.out_width(), 39);
}

TEST(Problem, GranularityMovesTheKernelBetweenTheStages) {
  LookupProblem problem = valid_problem();
  problem.conv.stride = {2, 1};
  EXPECT_EQ(problem.dictionary_stage().kernel, (Pair{1, 1}));
  EXPECT_EQ(problem.dictionary_stage().stride, (Pair{1, 1}));
  EXPECT_EQ(problem.lookup_stage().kernel, (Pair{3, 3}));
  EXPECT_EQ(problem.lookup_stage().stride, (Pair{2, 1}));
  problem.granularity = Granularity::filter;
  EXPECT_EQ(problem.dictionary_stage().kernel, (Pair{3, 3}));
  EXPECT_EQ(problem.dictionary_stage().stride, (Pair{2, 1}));
  EXPECT_EQ(problem.lookup_stage().kernel, (Pair{1, 1}));
  EXPECT_EQ(problem.lookup_stage().height, problem.conv.out_height());
  EXPECT_EQ(problem.lookup_stage().output_elements(), problem.conv.output_elements());
}

struct BadField {
  const char* named;  // must appear in the message
  std::function<void(LookupProblem&)> spoil;
};

void PrintTo(const BadField& field, std::ostream* out) { *out << field.named; }

class BadProblem : public testing::TestWithParam<BadField> {};

TEST_P(BadProblem, IsRefusedByName) {
  LookupProblem problem = valid_problem();
  EXPECT_NO_THROW(validate(problem));
  GetParam().spoil(problem);
  EXPECT_THAT([&] { validate(problem); },
              testing::ThrowsMessage<std::invalid_argument>(testing::HasSubstr(GetParam().named)));
}

INSTANTIATE_TEST_SUITE_P(
    EveryField, BadProblem,
    testing::Values(BadField{"batch is 0", [](auto& p) { p.conv.batch = 0; }},
                    BadField{"in_channels is -4", [](auto& p) { p.conv.in_channels = -4; }},
                    BadField{"out_channels is 0", [](auto& p) { p.conv.out_channels = 0; }},
                    BadField{"kernel height is 0", [](auto& p) { p.conv.kernel[0] = 0; }},
                    BadField{"stride width is 0", [](auto& p) { p.conv.stride[1] = 0; }},
                    BadField{"padding height is -1", [](auto& p) { p.conv.padding[0] = -1; }},
                    BadField{"dilation width is 0", [](auto& p) { p.conv.dilation[1] = 0; }},
                    BadField{"kernel height 9", [](auto& p) { p.conv.kernel[0] = 9; }},
                    BadField{"groups 3 does not divide in_channels 4", [](auto& p) { p.conv.groups = 3; }},
                    BadField{"groups 4 does not divide out_channels 6", [](auto& p) { p.conv.groups = 4; }},
                    BadField{"groups 2 does not divide dictionary_size 9",
                             [](auto& p) { p.conv.groups = 2, p.dictionary_size = 9; }},
                    BadField{"dictionary_size is 0", [](auto& p) { p.dictionary_size = 0; }}));

}  // namespace
}  // namespace lcnn
