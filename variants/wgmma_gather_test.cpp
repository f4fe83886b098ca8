// wgmma_gather with tiles of every kind: one image or several, strips of rows, clusters of every size, one tile a cluster or many, blocks that divide
// channels, lookups as data and as code, dictionaries in parts, one sum of 16 bits and two.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/wgmma_gather_source.h"
#include "kernels/cuda/wgmma_gather_tiles.h"
#include "variants/wgmma_tiles_check.h"

namespace lcnn::cuda {
namespace {

class WgmmaGather : public testing::TestWithParam<Precision> {};

TEST_P(WgmmaGather, MatchesTheFloat64ReferenceWithTilesOfEveryKind) {
  std::set<int> clusters;
  std::set<bool> code;
  std::set<int> halves, channel_parts, dictionary_parts;
  check_tiles(wgmma_gather, GetParam(), 16, [&](const VectorForm& form, const LookupProblem& problem, const DeviceLimits& limits) {
    std::vector<WgmmaGatherTile> tiles = wgmma_gather_tiles(form.problem, GetParam(), form.weights.lookups, limits.shared_bytes, limits.multiprocessors);
    std::set<std::tuple<int, bool, bool, int, bool, bool, bool, int, int, int, bool>> kinds;
    std::erase_if(tiles, [&](const WgmmaGatherTile& tile) {
      return !kinds.insert({std::min(tile.images, 2), tile.rows < problem.conv.out_height(), tile.columns < problem.conv.out_width(), tile.cluster, tile.channel_parts > 1,
                            tile.position_parts > 1, tile.code, tile.item_blocks, tile.halves, tile.sums, tile.dictionary_parts > 1})
                  .second;
    });
    for (const WgmmaGatherTile& tile : tiles) {
      clusters.insert(tile.cluster);
      code.insert(tile.code);
      halves.insert(tile.halves);
      channel_parts.insert(tile.channel_parts);
      dictionary_parts.insert(tile.dictionary_parts);
    }
    return tiles;
  });
  if (HasFatalFailure() || IsSkipped()) return;
  if (std::getenv("LCNN_TEST_PROBLEMS") == nullptr) {
    EXPECT_TRUE(std::ranges::includes(clusters, std::set{1, 2, 4})) << clusters.size() << " sizes of clusters";
    EXPECT_EQ(code.size(), 2u);
    EXPECT_EQ(halves.size(), element_bytes(GetParam()) == 2 ? 2u : 1u);
    EXPECT_GE(channel_parts.size(), 2u);
    EXPECT_GE(dictionary_parts.size(), 2u);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, WgmmaGather, testing::Values(Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16),
                         [](const auto& info) { return "cuda_wgmma_gather_tiles_" + std::string(to_string(info.param)); });

}  // namespace
}  // namespace lcnn::cuda
