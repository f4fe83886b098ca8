#include "kernels/cuda/compact_lookups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kStepValues = kStepWords * 4;

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
    const auto entries = static_cast<int>(stage.in_channels), kernel_w = static_cast<int>(stage.kernel[1]);
    const int rows = static_cast<int>((stage.kernel[0] - 1) * stage.dilation[0]) + 1;
    const CompactPlaces places(static_cast<int>(seed % 9) + 1, entries, rows);
    std::map<int, int> entry_at;  // by place in a row
    for (int entry = 0; entry < entries; ++entry) ASSERT_TRUE(entry_at.emplace(places.entry(entry), entry).second);
    const CompactLookups compact = compact_lookups(stage, form.weights.lookups, precision, places);
    std::vector<std::uint16_t> rebuilt(stage.out_channels * stage.in_channels * stage.taps());
    for (int group = 0; group + 1 < static_cast<int>(compact.first_step.size()); ++group) {
      for (int step = compact.first_step[group]; step < compact.first_step[group + 1]; ++step) {
        for (int row = 0; row < kStepRows; ++row) {
          const int place = place_of(compact, step, row) / 16, column = place / places.column_words;
          const int s_row = place % places.column_words / places.row_words, entry = entry_at.at(place % places.row_words);
          ASSERT_EQ(s_row % stage.dilation[0], 0);
          for (int channel = 0; channel < kGroupChannels; ++channel) {
            const std::uint16_t bits = coefficient_bits(compact, step, channel, row);
            if (bits == 0) continue;
            const std::int64_t k = group * kGroupChannels + channel, tap = s_row / stage.dilation[0] * kernel_w + column;
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

// A ResNet layer: 16 channels look up some 130 rows; loaded in any order, 8 of them would meet in a bank 2.6 times.
TEST(CompactLookups, RowsLoadedTogetherSeldomShareABank) {
  for (const int words : {1, 2, 4, 7}) {
    const TestProblem test{.problem = {{.batch = 1, .in_channels = 4, .height = 14, .width = 14, .out_channels = 256, .kernel = {3, 3}, .padding = {1, 1}}, 64}};
    const Conv2dProblem stage = test.problem.lookup_stage();
    const CompactLookups compact = compact_lookups(stage, test.weights(Precision::fp16).lookups, Precision::fp16, CompactPlaces(words, 64, 9));
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
    EXPECT_LT(passes, 1.6 * loads) << words;
    EXPECT_LT(steps, 16 * (9 * 64 / kStepRows) / 3) << words;  // a third of a dense P
    EXPECT_EQ(most_block_steps(compact.first_step, 16), steps);
    EXPECT_GE(most_block_steps(compact.first_step, 4) * 4, steps);
  }
}

}  // namespace
}  // namespace lcnn::cuda
