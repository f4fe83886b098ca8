// The source compiles for a GPU that need not be there; what it computes is tested through the variant table.
#include "kernels/cuda/table_source.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <map>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448, kMultiprocessors = 132;  // an H100's
constexpr std::array kPrecisions{Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};

TEST(TableSource, CompilesForAwkwardProblemsInEveryStorageType) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const TestProblem test = ungrouped_problem(seed);
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const Conv2dProblem stage = form.problem.lookup_stage();
    const auto tiles = table_tiles(stage, precision, form.weights.lookups.lookups(), kSharedLimit, kMultiprocessors);
    ASSERT_FALSE(tiles.empty()) << test;
    ASSERT_NO_THROW(nvrtc_compile(table_source(stage, precision, tiles.front()), "sm_90a")) << test;
  }
}

TEST(TableSource, EveryTileCoversTheOutputAndHoldsEveryLookupOnce) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TestProblem test = ungrouped_problem(seed);
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const Conv2dProblem stage = form.problem.lookup_stage();
    const auto tiles = table_tiles(stage, precision, form.weights.lookups.lookups(), kSharedLimit, kMultiprocessors);
    for (std::size_t i = 0; i < tiles.size(); i += 1 + tiles.size() / 10) {
      const TableTile& tile = tiles[i];
      const TableLayout layout(stage, precision, tile);
      EXPECT_GE(layout.grid_x * tile.rows(), stage.out_height());
      EXPECT_GE(layout.places.channels(), stage.out_channels);
      EXPECT_GE(layout.grid_z * tile.images, stage.batch);
      EXPECT_TRUE(tile.images == 1 || layout.grid_x == 1);
      const LookupPairs table = lookup_pairs(stage, form.weights.lookups, layout.places);
      ASSERT_EQ(table.first_pair.size(), static_cast<std::size_t>(layout.places.parts * (layout.places.channels() + 1)));
      std::size_t found = 0;
      for (std::size_t half = 0; half < table.pairs.size() / 2; ++half) {
        const auto place = static_cast<std::int32_t>(table.pairs[2 * half]);
        EXPECT_GE(place, 0);
        EXPECT_LE(place + element_bytes(precision), layout.tile_words * 16) << test;
        found += std::bit_cast<float>(table.pairs[2 * half + 1]) != 0.0f;
      }
      std::size_t expected = 0;
      for (const float coefficient : form.weights.lookups.coefficients) expected += coefficient != 0.0f;
      EXPECT_EQ(found, expected);
    }
  }
}

}  // namespace
}  // namespace lcnn::cuda
