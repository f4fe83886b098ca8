// wgmma_gather with tiles of every kind: one image or several, strips of rows, clusters of every size, one tile a cluster or many, lookups as data and as
// code, sums of 16 bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/wgmma_gather_source.h"
#include "variants/wgmma_tiles_check.h"

namespace lcnn::cuda {
namespace {

class WgmmaGather : public testing::TestWithParam<Precision> {};

TEST_P(WgmmaGather, MatchesTheFloat64ReferenceWithTilesOfEveryKind) {
  std::set<int> clusters;
  std::set<bool> baked;
  std::set<int> halves;
  check_tiles(wgmma_gather, GetParam(), 16, [&](const VectorForm& form, const LookupProblem& problem, const DeviceLimits& limits) {
    std::vector<WgmmaGatherTile> tiles = wgmma_gather_tiles(form.problem, GetParam(), form.weights.lookups, limits.shared_bytes, limits.multiprocessors);
    std::set<std::tuple<int, bool, bool, int, bool, bool, int>> kinds;
    std::erase_if(tiles, [&](const WgmmaGatherTile& tile) {
      return !kinds.insert({std::min(tile.images, 2), tile.rows < problem.conv.out_height(), tile.columns < problem.conv.out_width(), tile.cluster, tile.position_parts > 1, tile.baked_channels > 0, tile.halves}).second;
    });
    for (const WgmmaGatherTile& tile : tiles) {
      clusters.insert(tile.cluster);
      baked.insert(tile.baked_channels > 0);
      halves.insert(tile.halves);
    }
    return tiles;
  });
  if (HasFatalFailure() || IsSkipped()) return;
  if (std::getenv("LCNN_TEST_PROBLEMS") == nullptr) {
    EXPECT_TRUE(std::ranges::includes(clusters, std::set{1, 2, 4})) << clusters.size() << " sizes of clusters";
    EXPECT_EQ(baked.size(), 2u);
    EXPECT_EQ(halves.size(), element_bytes(GetParam()) == 2 ? 2u : 1u);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, WgmmaGather, testing::Values(Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16),
                         [](const auto& info) { return "cuda_wgmma_gather_tiles_" + std::string(to_string(info.param)); });

}  // namespace
}  // namespace lcnn::cuda
