// The source compiles for a GPU that need not be there; what it computes is tested through the variant table and, with tiles of
// every kind, in variants/.
#include "kernels/cuda/wgmma_gather_source.h"
#include "kernels/cuda/wgmma_gather_tiles.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <set>
#include <string>
#include <tuple>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/cuda/wgmma_test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448, kMultiprocessors = 132;  // an H100's
constexpr std::array kPrecisions{Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};

std::vector<WgmmaGatherTile> tiles_of(const VectorForm& form, Precision precision) {
  return wgmma_gather_tiles(form.problem, precision, form.weights.lookups, kSharedLimit, kMultiprocessors);
}

TEST(WgmmaGatherSource, CompilesForAwkwardProblemsInEveryPrecision) {
  int compiled = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const TestProblem test = wgmma_problem(seed, 1'000'000);
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const std::vector<WgmmaGatherTile> tiles = tiles_of(form, precision);
    if (tiles.empty()) continue;  // a dictionary that is too large
    const WgmmaGatherTile& tile = tiles[seed % tiles.size()];
    const WgmmaGatherLayout layout(form.problem, precision, tile, form.weights.lookups);
    ASSERT_NO_THROW(nvrtc_compile(wgmma_gather_source(form.problem, form.weights.lookups, precision, tile, layout), "sm_90a")) << tile_name(tile) << " " << test;
    ++compiled;
  }
  EXPECT_GE(compiled, 6);
}

// Lookups in the text of baked ones; the values of S that they read must lie in S at the last position of a tile, too.
std::size_t baked_lookups(const std::string& source, const WgmmaGatherLayout& layout) {
  std::size_t found = 0;
  for (std::size_t at = source.find("switch (part"); (at = source.find("load_shared<Sum,", at)) != std::string::npos;) {
    at += 16;
    EXPECT_LE(std::stoi(source.substr(at)) + layout.reach * 4, layout.entry_bytes);
    const std::size_t end = source.find('\n', at);
    for (; (at = source.find(']', source.find("]=", at))) < end; ++at) ++found;
    at = end;
  }
  return found;
}

TEST(WgmmaGatherSource, EveryTileCoversTheOutputAndHoldsEveryLookupOnce) {
  std::set<int> clusters, images, columns, halves, dictionary_parts;
  std::set<std::tuple<std::uint64_t, int, int, int, int>> baked;
  int listed_in_halves = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const TestProblem test = wgmma_problem(seed, 30'000'000);
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const Conv2dProblem stage = form.problem.lookup_stage();
    const LookupTable& lookups = form.weights.lookups;
    std::set<std::string> names;
    for (const WgmmaGatherTile& tile : tiles_of(form, precision)) {
      EXPECT_TRUE(names.insert(tile_name(tile)).second) << tile_name(tile);
      clusters.insert(tile.cluster);
      images.insert(tile.images);
      const WgmmaGatherLayout layout(form.problem, precision, tile, lookups);
      EXPECT_GE(layout.row_tiles * (tile.rows + layout.half_rows), stage.out_height());
      EXPECT_EQ(layout.column_tiles * tile.columns, stage.out_width());
      EXPECT_GE(layout.tiles * (tile.images + layout.half_images), layout.column_tiles * layout.row_tiles * stage.batch);
      EXPECT_TRUE(tile.images == 1 || layout.row_tiles * layout.column_tiles == 1);
      columns.insert(layout.column_tiles);
      EXPECT_GE(layout.block_channels * layout.channel_blocks, stage.out_channels);
      EXPECT_GE(layout.reach, ((tile.images - 1) * layout.image_rows + tile.rows - 1) * layout.pitch + tile.columns);
      halves.insert(tile.halves);
      dictionary_parts.insert(tile.dictionary_parts);
      EXPECT_EQ(layout.entry_pitch % 8, 4);
      EXPECT_LT(layout.positions, layout.entry_pitch);
      const std::vector<std::uint32_t> records = wgmma_gather_records(stage, lookups, form.weights.bias, precision, tile, layout);
      ASSERT_EQ(records.size() * 4, static_cast<std::size_t>(layout.record_bytes) * layout.channel_blocks);
      if (tile.code) {
        if (!baked.insert({seed, layout.channel_blocks, tile.item_channels, tile.halves, tile.dictionary_parts}).second) continue;
        ASSERT_EQ(baked_lookups(wgmma_gather_source(form.problem, lookups, precision, tile, layout), layout), static_cast<std::size_t>(lookups.lookups()))
            << tile_name(tile) << " " << test;
        continue;
      }
      // Lookups that fill up a channel's last step have coefficient 0.
      listed_in_halves += tile.halves == 2;
      std::size_t found = 0;
      for (int block = 0; block < layout.channel_blocks; ++block) {
        const std::uint32_t* record = records.data() + static_cast<std::size_t>(block) * layout.record_bytes / 4;
        const std::uint32_t *first = record + layout.record_channels, *words = record + layout.lookups_byte() / 4;
        for (int k = 0; k < layout.record_channels; ++k) {
          ASSERT_LE(first[k], first[k + 1]);
          EXPECT_EQ((first[k + 1] - first[k]) % layout.lookups_at_once, 0u);
        }
        const std::uint32_t last = first[layout.record_channels];
        ASSERT_LE(layout.lookups_byte() + (last + layout.lookups_at_once) * lookup_bytes(tile), static_cast<std::uint32_t>(layout.record_bytes));
        for (std::uint32_t i = 0; i < last; ++i) {
          const bool short_lookup = tile.halves == 2;
          const std::uint32_t place = short_lookup ? words[i] % 0x10000 * 4 : words[2 * i];
          EXPECT_LE(place + layout.reach * 4, static_cast<std::uint32_t>(layout.entry_bytes)) << tile_name(tile) << " " << test;
          found += short_lookup ? words[i] >> 16 != 0 : std::bit_cast<float>(words[2 * i + 1]) != 0.0f;
        }
      }
      std::size_t expected = 0;
      for (const float coefficient : lookups.coefficients) expected += coefficient != 0.0f;
      ASSERT_EQ(found, expected) << tile_name(tile) << " " << test;
    }
  }
  EXPECT_EQ(clusters, (std::set{1, 2, 4, 8}));
  EXPECT_GE(images.size(), 3u);
  EXPECT_GE(columns.size(), 2u);
  EXPECT_EQ(halves.size(), 2u);
  EXPECT_GE(dictionary_parts.size(), 3u);
  EXPECT_GE(baked.size(), 60u);
  EXPECT_GE(listed_in_halves, 3);
}

TEST(WgmmaGatherDictionary, HoldsEveryValueInItsTerms) {
  const LookupProblem problem{{.in_channels = 40, .height = 4, .width = 4, .out_channels = 16}, 11};
  std::vector<float> dictionary(11 * 40);
  for (std::size_t i = 0; i < dictionary.size(); ++i) dictionary[i] = random_value(7, i);
  const std::vector<std::uint32_t> packed = wgmma_gather_dictionary(problem, dictionary, Precision::fp32, 8, 2);
  ASSERT_EQ(packed.size(), 2u * 2 * 2 * 8 * 32);  // blocks, slices, terms, entries, channels
  double sum = 0, expected = 0;
  for (const std::uint32_t word : packed) sum += std::bit_cast<float>(word);
  for (const float value : dictionary) expected += value;
  EXPECT_NEAR(sum, expected, 1e-5);
  // Entry 9 is the second block's row 1; of channel 35 step 1 has the inner index 4 in its row, whose pieces of 16 bytes are exchanged.
  const std::size_t row = ((1 * 2 + 1) * 2 + 0) * 8 + 1;
  const float high = std::bit_cast<float>(packed[row * 32 + (12 / 4 ^ 1) * 4]), low = std::bit_cast<float>(packed[(row + 8) * 32 + (12 / 4 ^ 1) * 4]);
  EXPECT_NEAR(high, dictionary[9 * 40 + 35], 1e-3);
  EXPECT_NEAR(high + low, dictionary[9 * 40 + 35], 1e-7);
}

}  // namespace
}  // namespace lcnn::cuda
