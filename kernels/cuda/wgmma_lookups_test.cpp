#include "kernels/cuda/wgmma_lookups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "kernels/cuda/tile_sizes.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

TEST(WgmmaLookups, HoldEveryLookupOnceAndNothingElse) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    TestProblem test = ungrouped_problem(seed);
    test.problem.conv.stride = {1, 1};
    const Precision precision = seed % 2 == 0 ? Precision::fp16 : Precision::tf32;
    const auto bytes = static_cast<int>(element_bytes(precision));
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const Conv2dProblem stage = form.problem.lookup_stage();
    const int block_channels = seed % 3 == 0 ? 64 : 128, slot_steps = wgmma_slot_steps(form.problem, precision);
    const WgmmaPlaces places{divide_up(stage.in_channels, 16) * 16, 1000, 40};
    const std::vector<int> order = entries_by_tap(form.weights.lookups);
    const WgmmaLookups packed = wgmma_lookups(stage, form.weights.lookups, form.weights.bias, order, precision, places, block_channels, slot_steps);
    std::vector<int> entry_of(order.size());
    for (std::size_t entry = 0; entry < order.size(); ++entry) entry_of[order[entry]] = static_cast<int>(entry);
    std::vector<float> rebuilt(stage.out_channels * stage.in_channels * stage.taps());
    for (int block = 0; block * block_channels < stage.out_channels; ++block) {
      const std::uint32_t* record = packed.records.data() + block * packed.record_bytes / 4;
      for (int i = 0; i < block_channels; ++i) {
        const std::size_t channel = static_cast<std::size_t>(block) * block_channels + i;
        EXPECT_EQ(std::bit_cast<float>(record[i]), channel < form.weights.bias.size() ? form.weights.bias[channel] : 0.0f);
      }
      record += block_channels;
      const int slots = static_cast<int>(record[0]);
      ASSERT_LE(slots, packed.most_slots);
      const std::uint32_t *place = record + 1, *first = place + packed.most_slots * slot_steps, *list = record + packed.lookups_word - block_channels;
      for (int slot = 0; slot < slots; ++slot) {
        for (std::uint32_t i = first[slot]; i < first[slot + 1]; ++i) {
          const std::uint32_t at = (bytes == 2 ? list[i] & 0xFFFF : list[2 * i]) * bytes;
          const int step = slot * slot_steps + static_cast<int>(at / (32 * block_channels));
          ASSERT_LT(step, (slot + 1) * slot_steps);
          const int channel = block * block_channels + static_cast<int>(at / 16) % block_channels;
          const int within = static_cast<int>(at / (16 * block_channels) % 2 * 16 + at % 16) / bytes;
          const int entry_block = static_cast<int>(place[step]) / (2 * places.positions * 16);
          const int shift = static_cast<int>(place[step]) / 16 % (2 * places.positions);
          const std::int64_t r = shift / places.pitch / stage.dilation[0], c = shift % places.pitch / stage.dilation[1];
          const int row = entry_block * (32 / bytes) + within;
          ASSERT_LT(row, static_cast<int>(entry_of.size()));
          ASSERT_LT(channel, stage.out_channels);
          float& value = rebuilt[((channel * stage.in_channels + entry_of[row]) * stage.kernel[0] + r) * stage.kernel[1] + c];
          EXPECT_EQ(value, 0.0f) << test;
          value = bytes == 2 ? static_cast<float>(list[i] >> 16) : std::bit_cast<float>(list[2 * i + 1]);
        }
      }
    }
    const std::vector<float> dense = lookup_table_to_dense(form.weights.lookups);
    for (std::size_t i = 0; i < dense.size(); ++i) {
      const float expected = dense[i] == 0.0f ? 0.0f : bytes == 2 ? static_cast<float>(bits_of(precision, dense[i])) : round_to(precision, dense[i]);
      ASSERT_EQ(rebuilt[i], expected) << test;
    }
  }
}

// The seed layer: 10 filters of 9 taps are 90 entries, and each tap looks up 10 of them.
TEST(WgmmaLookups, OfAFilterDictionaryHaveFewSteps) {
  const TestProblem test{.problem = {{.batch = 1, .in_channels = 8, .height = 14, .width = 14, .out_channels = 128, .kernel = {3, 3}, .padding = {1, 1}},
                                     10, Granularity::filter}};
  const VectorForm form = vector_form(test.problem, test.weights(Precision::fp16));
  const WgmmaLookups packed = wgmma_lookups(form.problem.lookup_stage(), form.weights.lookups, {}, entries_by_tap(form.weights.lookups), Precision::fp16,
                                            {96, 1000, 40}, 128, 3);
  EXPECT_LE(packed.most_slots * 3, 18);
}

}  // namespace
}  // namespace lcnn::cuda
