// The source compiles for a GPU that need not be there; what it computes is tested through the variant table.
#include "kernels/cuda/compact_source.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448, kMultiprocessors = 132;  // an H100's

std::vector<CompactTile> tiles_of(const VectorForm& form) {
  return compact_tiles(form.problem, form.weights.lookups.lookups(), kSharedLimit, kMultiprocessors);
}

TEST(CompactSource, CompilesForAwkwardProblemsInBothPrecisions) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const TestProblem test = ungrouped_problem(seed);
    const Precision precision = seed % 2 == 0 ? Precision::fp16 : Precision::bf16;
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const auto tiles = tiles_of(form);
    ASSERT_FALSE(tiles.empty()) << test;
    const CompactLayout layout(form.problem, tiles.front(), seed % 3 == 0);
    ASSERT_NO_THROW(nvrtc_compile(compact_source(form.problem, precision, tiles.front(), layout), "sm_90a")) << test;
  }
}

TEST(CompactSource, EveryTileCoversTheOutputAndHoldsTheRowsThatItReads) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TestProblem test = ungrouped_problem(seed);
    const VectorForm form = vector_form(test.problem, test.weights(Precision::fp16));
    const Conv2dProblem stage = form.problem.lookup_stage();
    const auto tiles = tiles_of(form);
    for (std::size_t i = 0; i < tiles.size(); i += 1 + tiles.size() / 10) {
      const CompactTile& tile = tiles[i];
      const CompactLayout layout(form.problem, tile, i % 2 == 0);
      EXPECT_GE(layout.grid_x * tile.rows, stage.out_height());
      EXPECT_GE(layout.grid_y * tile.groups * kGroupChannels, stage.out_channels);
      EXPECT_GE(layout.row_tiles * tile.warp_rows, tile.rows);
      EXPECT_GE(layout.places.entry_words * 8, stage.out_width());
      EXPECT_EQ(layout.x_pitch % layout.vector, 0);
      EXPECT_EQ((layout.x_pitch - form.problem.conv.height * form.problem.conv.width) % 8, 0);
      const CompactLookups compact = compact_lookups(stage, form.weights.lookups, Precision::fp16, layout.places);
      const std::int64_t last_row = (layout.row_tiles * tile.warp_rows - 1) * stage.stride[0];
      for (std::size_t step = 0; step < compact.steps.size() / (kStepWords * 4); ++step) {
        for (int row = 0; row < kStepRows; ++row) {
          const std::int64_t place = compact.steps[step * kStepWords * 4 + 128 + row] / 16;
          EXPECT_LT(last_row * layout.places.row_words + place, layout.tile_words) << test;
        }
      }
    }
  }
}

}  // namespace
}  // namespace lcnn::cuda
