// The source compiles for a GPU that need not be there; what it computes is tested through the variant table.
#include "kernels/cuda/cluster_source.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448, kMultiprocessors = 132;  // an H100's
constexpr std::array kPrecisions{Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};

LookupProblem ungrouped_problem(std::uint64_t seed) {
  LookupProblem problem = random_problem(seed).problem;
  problem.conv.groups = 1;
  return vector_form(problem);
}

TEST(ClusterSource, CompilesForAwkwardProblemsInEveryStorageType) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const LookupProblem problem = ungrouped_problem(seed);
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    const auto tiles = cluster_tiles(problem, precision, 100, kSharedLimit, kMultiprocessors);
    if (tiles.empty()) continue;
    ASSERT_NO_THROW(nvrtc_compile(cluster_source(problem, precision, tiles.front()), "sm_90a")) << to_string(problem);
  }
}

TEST(ClusterSource, EveryTileCoversThePositionsAndTheOutput) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const LookupProblem problem = ungrouped_problem(seed);
    const Conv2dProblem& conv = problem.conv;
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    for (const ClusterTile& tile : cluster_tiles(problem, precision, 100, kSharedLimit, kMultiprocessors)) {
      const ClusterLayout layout(problem, precision, tile);
      EXPECT_GE(layout.position_tiles * 8 * tile.loads * layout.vector, conv.height * conv.width);
      EXPECT_GE(tile.cluster * layout.block_entry_tiles * 16, problem.dictionary_size);
      EXPECT_LE(layout.position_tiles * divide_up(layout.block_entry_tiles, layout.warp_entry_tiles), layout.threads / 32);
      EXPECT_EQ(conv.width % layout.vector, 0);
      EXPECT_GE(layout.places.blocks * layout.places.block_channels, conv.out_channels);
      EXPECT_GE(layout.slot_warps * 32 * tile.pixels, conv.out_height() * conv.out_width());
      EXPECT_LE(layout.threads, 512);
      EXPECT_LE((layout.tile_words + layout.ring_words) * 16, kSharedLimit);
    }
  }
}

}  // namespace
}  // namespace lcnn::cuda
