// The generated source compiles for a GPU that need not be there; what it computes is tested through the variant table.
#include "kernels/cuda/baked_source.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448, kMultiprocessors = 132;  // an H100's

TEST(BakedSource, CompilesForAwkwardProblemsInEveryStorageType) {
  constexpr std::array kPrecisions{Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};
  int compiled = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const TestProblem test = ungrouped_problem(seed);
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const auto tiles = baked_tiles(form.problem, precision, /*fused=*/seed % 2 == 0, kSharedLimit, kMultiprocessors);
    if (tiles.empty()) continue;
    ASSERT_NO_THROW(nvrtc_compile(baked_source(form.problem, form.weights, precision, tiles.front()), "sm_90a")) << test;
    ++compiled;
  }
  EXPECT_GE(compiled, 6);
}

TEST(BakedSource, EveryTileCoversTheOutputAndFitsTheDevice) {
  for (const TestProblem& test : regular_problems()) {
    for (const bool fused : {false, true}) {
      const LookupProblem problem = vector_form(test.problem);
      const Conv2dProblem stage = problem.lookup_stage();
      const auto tiles = baked_tiles(problem, Precision::fp16, fused, kSharedLimit, kMultiprocessors);
      ASSERT_FALSE(tiles.empty()) << test;
      for (const BakedTile& tile : tiles) {
        const BakedLayout layout(stage, Precision::fp16, tile);
        EXPECT_LE(layout.shared_bytes, kSharedLimit);
        EXPECT_GE(layout.grid_x * tile.rows, stage.out_height());
        EXPECT_GE(layout.grid_y * tile.channels * tile.channel_blocks, stage.out_channels);
        EXPECT_GE(layout.grid_z * tile.images, stage.batch);
        EXPECT_GE(layout.chunks * tile.entries, stage.in_channels);
        EXPECT_TRUE(tile.images == 1 || tile.rows == stage.out_height());
        EXPECT_TRUE(layout.chunks == 1 || tile.entries % 16 == 0);
        EXPECT_EQ(stage.width % tile.vector, 0);
      }
    }
  }
}

TEST(BakedSource, NamesTheCompilersError) {
  EXPECT_THROW(nvrtc_compile("this is no CUDA C++", "sm_90a"), std::runtime_error);
}

}  // namespace
}  // namespace lcnn::cuda
