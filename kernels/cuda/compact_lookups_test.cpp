#include "kernels/cuda/compact_lookups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kStepValues = kStepWords * 4;

TestProblem ungrouped_problem(std::uint64_t seed) {
  TestProblem test = random_problem(seed);
  test.problem.conv.groups = 1;
  return test;
}

std::uint16_t coefficient_bits(const CompactLookups& compact, int step, int channel, int row) {
  const int lane = channel % 8 * 4 + row % 8 / 2, i = channel / 8 + row / 8 * 2;
  const std::uint32_t pair = compact.steps[step * kStepValues + lane * 4 + i];
  return static_cast<std::uint16_t>(row % 2 == 0 ? pair : pair >> 16);
}
int place_of(const CompactLookups& compact, int step, int row) { return static_cast<int>(compact.steps[step * kStepValues + 128 + row]); }

TEST(CompactLookups, HoldEveryLookupOnceAndNothingElse) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TestProblem test = ungrouped_problem(seed);
    const Precision precision = seed % 2 == 0 ? Precision::fp16 : Precision::bf16;
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const Conv2dProblem stage = form.problem.lookup_stage();
    const int entries = static_cast<int>(stage.in_channels), kernel_w = static_cast<int>(stage.kernel[1]);
    const CompactPlaces places{.entry_words = 3, .row_words = 3 * entries};
    const CompactLookups compact = compact_lookups(stage, form.weights.lookups, precision, places);
    std::vector<std::uint16_t> rebuilt(stage.out_channels * stage.in_channels * stage.taps());
    const int groups = static_cast<int>(compact.first_step.size()) / kernel_w;
    for (int part = 0; part < groups * kernel_w; ++part) {
      for (int step = compact.first_step[part]; step < compact.first_step[part + 1]; ++step) {
        for (int row = 0; row < kStepRows; ++row) {
          const int place = place_of(compact, step, row) / 16, entry = place / 3 % entries, r = place / 3 / entries;
          ASSERT_EQ(r % stage.dilation[0], 0);
          for (int channel = 0; channel < kGroupChannels; ++channel) {
            const std::uint16_t bits = coefficient_bits(compact, step, channel, row);
            if (bits == 0) continue;
            const std::int64_t k = part / kernel_w * kGroupChannels + channel, tap = r / stage.dilation[0] * kernel_w + part % kernel_w;
            ASSERT_LT(k, stage.out_channels);
            std::uint16_t& at = rebuilt[(k * stage.in_channels + entry) * stage.taps() + tap];
            EXPECT_EQ(at, 0) << test;
            at = bits;
          }
        }
      }
    }
    const std::vector<float> dense = lookup_table_to_dense(form.weights.lookups);
    for (std::size_t i = 0; i < dense.size(); ++i) ASSERT_EQ(rebuilt[i], dense[i] == 0.0f ? 0 : bits_of(precision, dense[i])) << test;
  }
}

// A ResNet layer: 16 channels look up some 43 rows a kernel column; loaded in any order, 8 of them would meet in a bank 2.6 times.
TEST(CompactLookups, RowsLoadedTogetherSeldomShareABank) {
  const TestProblem test{.problem = {{.batch = 1, .in_channels = 4, .height = 14, .width = 14, .out_channels = 256, .kernel = {3, 3}, .padding = {1, 1}}, 64}};
  const Conv2dProblem stage = test.problem.lookup_stage();
  const CompactLookups compact = compact_lookups(stage, test.weights(Precision::fp16).lookups, Precision::fp16, {.entry_words = 3, .row_words = 192});
  const int steps = compact.first_step.back();
  int loads = 0, passes = 0;
  for (int step = 0; step < steps; ++step) {
    for (const int first : {0, 8}) {
      std::array<std::set<int>, 8> banks;
      for (int row = first; row < first + 8; ++row) banks[place_of(compact, step, row) / 16 % 8].insert(place_of(compact, step, row));
      passes += static_cast<int>(std::ranges::max_element(banks, {}, &std::set<int>::size)->size());
      ++loads;
    }
  }
  EXPECT_LT(passes, 1.6 * loads);
  EXPECT_LT(steps, 16 * 3 * (3 * 64 / kStepRows) / 3);  // a third of a dense P
  EXPECT_EQ(most_block_steps(compact.first_step, 3, 16), steps);
  EXPECT_GE(most_block_steps(compact.first_step, 3, 4) * 4, steps);
}

}  // namespace
}  // namespace lcnn::cuda
