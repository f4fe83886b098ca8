#include "kernels/cuda/wgmma_lookups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>

#include "kernels/cuda/tile_sizes.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

// Entry, of a step's 32, that element `within` of a channel of sparse P belongs to; `words` are the 128 of its 64 channels.
int sparse_entry(const std::uint32_t* words, int step, int channel, int within) {
  const int row = channel % 64, four = within / 2;
  const std::uint32_t word = words[row / 16 * 32 + row % 8 * 4 + step % 2 * 2 + four / 4] >> (row % 16 < 8 ? 0 : 16);
  const int pair = static_cast<int>(word >> four % 4 * 4 & 0xF);
  EXPECT_LT(pair & 3, pair >> 2);
  return four * 4 + (within % 2 == 0 ? pair & 3 : pair >> 2);
}

TEST(WgmmaLookups, HoldEveryLookupOnceAndNothingElse) {
  for (std::uint64_t seed = 0; seed < 80; ++seed) {
    TestProblem test = ungrouped_problem(seed);
    test.problem.conv.stride = {1, 1};
    const Precision precision = seed % 2 == 0 ? Precision::fp16 : Precision::tf32;
    const auto bytes = static_cast<int>(element_bytes(precision));
    const bool sparse = bytes == 2 && seed >= 40;
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const Conv2dProblem stage = form.problem.lookup_stage();
    const int block_channels = seed % 3 == 0 ? 64 : 128, slot_steps = wgmma_slot_steps(form.problem, precision, sparse);
    const int step_bytes = sparse ? 64 : 32;  // of entries
    const WgmmaPlaces places{1000, 40};
    const std::vector<int> order = wgmma_order(form.weights.lookups, precision);
    const WgmmaLookups packed = wgmma_lookups(stage, form.weights.lookups, form.weights.bias, order, precision, places, block_channels, slot_steps, sparse);
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
      const std::uint32_t *place = record + 1, *first = place + packed.most_slots * slot_steps, *list = record + packed.lookups_word - block_channels,
                          *metadata = record + packed.metadata_word - block_channels;
      for (int slot = 0; slot < slots; ++slot) {
        for (std::uint32_t i = first[slot]; i < first[slot + 1]; ++i) {
          const std::uint32_t at = (bytes == 2 ? list[i] & 0xFFFF : list[2 * i]) * bytes;
          const int step = slot * slot_steps + static_cast<int>(at / (32 * block_channels));
          ASSERT_LT(step, (slot + 1) * slot_steps);
          const int channel = block * block_channels + static_cast<int>(at / 16) % block_channels;
          int within = static_cast<int>(at / (16 * block_channels) % 2 * 16 + at % 16) / bytes;
          if (sparse) {
            const int in_slot = step % slot_steps, pair = slot * divide_up(slot_steps, 2) + in_slot / 2, local = channel - block * block_channels;
            within = sparse_entry(metadata + (pair * block_channels / 64 + local / 64) * 128, in_slot, local, within);
          }
          const int entry_block = static_cast<int>(place[step]) / (step_bytes / 16 * places.positions * 16);
          const int shift = static_cast<int>(place[step]) / 16 % (step_bytes / 16 * places.positions);
          const std::int64_t r = shift / places.pitch / stage.dilation[0], c = shift % places.pitch / stage.dilation[1];
          const int row = entry_block * (step_bytes / bytes) + within;
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

// One channel that looks up all of 32 entries at its only tap: two steps, whose pairs are the lower and the upper two of each four.
TEST(WgmmaLookups, OfSparsePTakeASecondStepForAThirdAmongFour) {
  const Conv2dProblem stage{.in_channels = 32, .out_channels = 1};
  std::vector<float> dense(32);
  for (std::size_t i = 0; i < dense.size(); ++i) dense[i] = static_cast<float>(i + 1);
  const LookupTable table = lookup_table_from_dense(dense, 1, 32, {1, 1});
  const WgmmaLookups packed = wgmma_lookups(stage, table, {}, wgmma_order(table, Precision::fp16), Precision::fp16, {1000, 40}, 64, 3, true);
  const std::uint32_t* words = packed.records.data();
  EXPECT_EQ(words[64], 1u);                       // slots
  EXPECT_EQ(words[packed.metadata_word + 0], 0x44444444u);  // entries 0 and 1 of row 0, and of row 8, which has none
  EXPECT_EQ(words[packed.metadata_word + 2], 0x4444EEEEu);  // entries 2 and 3 of row 0 in the second step
  EXPECT_EQ(words[packed.metadata_word + 3], 0x4444EEEEu);
}

// ResNet-18's layers of 128 to 512 channels, LCNN-fast, and three times their lookups: no step but those that every tap of all entries takes.
TEST(WgmmaLookups, OfSparsePTakeNoSecondStepWhereEntriesCanBeSpread) {
  for (const std::int64_t channels : {128, 256, 512}) {
    for (const double sparsity : {1.0, 3.0}) {
      if (channels == 128 && sparsity == 3.0) continue;  // a tenth of P
      const TestProblem test{.problem = {{.batch = 1, .in_channels = channels, .height = 7, .width = 7, .out_channels = channels, .kernel = {3, 3}, .padding = {1, 1}},
                                         channels / 4}, .sparsity = sparsity};
      const LookupTable table = test.weights(Precision::fp16).lookups;
      const WgmmaLookups packed = wgmma_lookups(test.problem.lookup_stage(), table, {}, wgmma_order(table, Precision::fp16), Precision::fp16, {1000, 40}, 128, 1, true);
      EXPECT_LE(packed.most_slots, 9 * divide_up(test.problem.dictionary_size, 32)) << test;
    }
  }
}

// The seed layer: 10 filters of 9 taps are 90 entries, and each tap looks up 10 of them.
TEST(WgmmaLookups, OfAFilterDictionaryHaveFewSteps) {
  const TestProblem test{.problem = {{.batch = 1, .in_channels = 8, .height = 14, .width = 14, .out_channels = 128, .kernel = {3, 3}, .padding = {1, 1}},
                                     10, Granularity::filter}};
  const VectorForm form = vector_form(test.problem, test.weights(Precision::fp16));
  const WgmmaLookups packed = wgmma_lookups(form.problem.lookup_stage(), form.weights.lookups, {}, wgmma_order(form.weights.lookups, Precision::fp16), Precision::fp16,
                                            {1000, 40}, 128, 3, false);
  EXPECT_LE(packed.most_slots * 3, 18);
}

}  // namespace
}  // namespace lcnn::cuda
