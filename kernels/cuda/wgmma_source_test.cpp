// The source compiles for a GPU that need not be there; what it computes is tested through the variant table.
#include "kernels/cuda/wgmma_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/cuda/wgmma_test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448, kMultiprocessors = 132;  // an H100's

std::vector<WgmmaTile> tiles_of(const VectorForm& form, Precision precision) {
  return wgmma_tiles(form.problem, precision, form.weights.lookups.lookups(), kSharedLimit, kMultiprocessors);
}

TEST(WgmmaSource, CompilesForAwkwardProblemsInEveryPrecision) {
  for (std::uint64_t seed = 0; seed < 9; ++seed) {
    const TestProblem test = wgmma_problem(seed, 1'000'000);
    const Precision precision = std::array{Precision::fp16, Precision::bf16, Precision::tf32}[seed % 3];
    const VectorForm form = vector_form(test.problem, test.weights(precision));
    const std::vector<WgmmaTile> tiles = tiles_of(form, precision);
    if (tiles.empty()) continue;  // a dictionary that is too large
    // Either form of P in turn, where there are both.
    const auto of_form = std::ranges::find(tiles, seed % 2 == 0, &WgmmaTile::sparse);
    const WgmmaTile& tile = of_form != tiles.end() ? *of_form : tiles[seed % tiles.size()];
    const WgmmaLayout layout(form.problem, precision, tile);
    const WgmmaLookups lookups =
        wgmma_lookups(form.problem.lookup_stage(), form.weights.lookups, form.weights.bias, wgmma_order(form.weights.lookups, precision), precision,
                      layout.places(), tile.block_channels, layout.slot_steps, tile.sparse());
    const int ring = layout.ring(lookups.most_slots, lookups.record_bytes, kSharedLimit);
    ASSERT_NO_THROW(nvrtc_compile(wgmma_source(form.problem, precision, tile, layout, lookups, std::max(ring, 1)), "sm_90a")) << test;
  }
}

// ResNet-18's blocks from 64@56 to 512@7.
TEST(WgmmaSource, TriesBothFormsOfPAt16Bits) {
  for (std::int64_t channels = 64; channels <= 512; channels *= 2) {
    const std::int64_t size = 56 * 64 / channels;
    const LookupProblem problem{{.batch = 32, .in_channels = channels, .height = size, .width = size, .out_channels = channels, .kernel = {3, 3}, .padding = {1, 1}},
                                channels / 4};
    for (const Precision precision : {Precision::fp16, Precision::bf16, Precision::tf32}) {
      const std::vector<WgmmaTile> tiles = wgmma_tiles(problem, precision, channels * 9, kSharedLimit, kMultiprocessors);
      EXPECT_EQ(std::ranges::any_of(tiles, &WgmmaTile::sparse), precision != Precision::tf32) << channels;
      EXPECT_FALSE(std::ranges::all_of(tiles, &WgmmaTile::sparse)) << channels;
    }
  }
}

// A tile is listed by what its record is expected to take; where the record takes more, the host asks for too much memory, or gets a ring.
TEST(WgmmaSource, ATileWithoutARingNeedsMoreSharedMemoryThanABlockHas) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TestProblem test = wgmma_problem(seed, 1'000'000);
    const VectorForm form = vector_form(test.problem, test.weights(Precision::fp16));
    const std::vector<int> order = wgmma_order(form.weights.lookups, Precision::fp16);
    for (const WgmmaTile& tile : wgmma_kinds(form, Precision::fp16, kSharedLimit, kMultiprocessors)) {
      const WgmmaLayout layout(form.problem, Precision::fp16, tile);
      const WgmmaLookups lookups = wgmma_lookups(form.problem.lookup_stage(), form.weights.lookups, form.weights.bias, order, Precision::fp16, layout.places(),
                                                 tile.block_channels, layout.slot_steps, tile.sparse());
      // Also beside so much else that not all, or none, of the slots fit.
      const int least = std::min(lookups.most_slots, 2), all = layout.shared_bytes(lookups.most_slots, lookups.record_bytes);
      for (int limit = kSharedLimit; limit > all - lookups.most_slots * layout.slot_bytes - 1; limit -= layout.slot_bytes / 2) {
        const int ring = layout.ring(lookups.most_slots, lookups.record_bytes, limit);
        ASSERT_LE(ring, lookups.most_slots);
        if (ring == 0) ASSERT_GT(layout.shared_bytes(least, lookups.record_bytes), limit) << test << " " << tile_name(tile);
        else ASSERT_LE(layout.shared_bytes(ring, lookups.record_bytes), limit) << test << " " << tile_name(tile);
      }
    }
  }
}

TEST(WgmmaSource, EveryTileCoversTheOutputAndHoldsThePositionsThatItReads) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const TestProblem test = wgmma_problem(seed, 1'000'000);
    const VectorForm form = vector_form(test.problem, test.weights(Precision::fp16));
    const Conv2dProblem stage = form.problem.lookup_stage();
    for (const WgmmaTile& tile : tiles_of(form, Precision::fp16)) {
      const WgmmaLayout layout(form.problem, Precision::fp16, tile);
      EXPECT_GE(layout.row_tiles * tile.rows, stage.out_height());
      EXPECT_GE(layout.column_tiles * tile.columns, stage.out_width());
      EXPECT_GE(layout.channel_blocks * tile.block_channels, stage.out_channels);
      EXPECT_EQ(layout.pitch % 8, 0);
      EXPECT_GE(layout.pitch, std::min<std::int64_t>(tile.columns, stage.out_width()));
      const std::int64_t farthest = (stage.kernel[0] - 1) * stage.dilation[0] * layout.pitch + (stage.kernel[1] - 1) * stage.dilation[1];
      EXPECT_GE(layout.positions, layout.output_positions + farthest) << test;
      EXPECT_GE(layout.positions, (layout.row_shift + layout.input_rows) * layout.pitch) << test;
    }
  }
}

}  // namespace
}  // namespace lcnn::cuda
