// The kernel's own text, compiled for the host and run thread by thread: where a machine has no GPU, what it computes and
// whether its barriers hold are tested all the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/emulated_kernel.h"
#include "kernels/cuda/wgmma_test_problems.h"
#include "kernels/reference.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448;  // an H100's

// y, NHWC, of a tile run by `blocks` blocks for each block of channels.
std::vector<float> emulated(const VectorForm& form, const std::vector<float>& input, const WgmmaTile& tile, int ring, int blocks) {
  const auto& [problem, weights] = form;
  const WgmmaLayout layout(problem, Precision::fp16, tile);
  const std::vector<int> order = wgmma_order(weights.lookups, Precision::fp16);
  const WgmmaLookups lookups = wgmma_lookups(problem.lookup_stage(), weights.lookups, weights.bias, order, Precision::fp16, layout.places(),
                                             tile.block_channels, layout.slot_steps, tile.sparse());
  ring = std::clamp(ring, 1, lookups.most_slots);
  return EmulatedKernel(wgmma_source(problem, Precision::fp16, tile, layout, lookups, ring), "// The fused kernel whose stages are both",
                        "wgmma_fused(input_map, output_map, dictionary.data(), records.data())", 128)
      .run(problem.conv, input, wgmma_dictionary(problem, weights.dictionary, order, Precision::fp16), lookups.records,
           {.columns = layout.pitch, .rows = tile.chunk_rows},
           {.width = problem.conv.out_width(), .height = problem.conv.out_height(), .batch = problem.conv.batch, .box = {.columns = std::min(tile.columns, 64)}}, std::min(blocks, layout.tiles) * layout.channel_blocks);
}

struct Case {
  TestProblem test;
  WgmmaTile tile;
  int ring, blocks;
};

void check(const Case& each) {
  const LookupWeights weights = each.test.weights(Precision::fp16);
  const std::vector<float> input = each.test.input(Precision::fp16);
  const Conv2dProblem& conv = each.test.problem.conv;
  const std::vector<double> expected = transposed(
      reference_lookup_conv2d(each.test.problem, weights, std::vector<double>(input.begin(), input.end())), conv.batch, conv.out_channels);
  const Comparison found = compare(emulated(vector_form(each.test.problem, weights), input, each.tile, each.ring, each.blocks), expected);
  EXPECT_TRUE(found.rel_err <= 1e-3) << tile_name(each.tile) << " ring " << each.ring << " " << each.test << "\nrel_err " << found.rel_err
                                     << ", not finite: " << found.non_finite;
}

TEST(WgmmaEmulation, MatchesTheFloat64ReferenceAndItsBarriersHold) {
  const auto problem = [](std::int64_t batch, std::int64_t channels, std::int64_t size, std::int64_t out_channels, Pair kernel, Pair padding, std::int64_t entries) {
    return TestProblem{.problem = {{.batch = batch, .in_channels = channels, .height = size, .width = size + 1, .out_channels = out_channels, .kernel = kernel,
                                    .padding = padding}, entries}};
  };
  const std::vector<Case> cases = {
      // X whole, by chunks of rows; P resident; several tiles a block, S once and twice.
      {problem(2, 72, 9, 72, {3, 3}, {1, 1}, 20), {.rows = 3, .columns = 10, .block_channels = 64, .output_groups = 2, .group_tiles = 1, .chunk_rows = 2}, 99, 2},
      {problem(3, 24, 6, 40, {2, 3}, {0, 2}, 7), {.rows = 2, .columns = 9, .block_channels = 64, .output_groups = 1, .group_tiles = 2, .chunk_rows = 3,
                                                .entry_buffers = 2}, 99, 2},
      // X in slices that come and go; P in a ring, of three and of two slots; warpgroups that take turns.
      {problem(4, 200, 7, 136, {3, 3}, {1, 1}, 70), {.rows = 7, .columns = 8, .block_channels = 64, .output_groups = 2, .group_tiles = 1, .chunk_rows = 7, .stages = 2,
                                                     .entry_buffers = 2, .sets = 2}, 4, 2},
      {problem(2, 136, 5, 64, {3, 2}, {1, 1}, 40), {.rows = 5, .columns = 7, .block_channels = 64, .output_groups = 1, .group_tiles = 1, .chunk_rows = 5, .stages = 3}, 2, 1},
      // Rows wider than 64 positions.
      {problem(1, 16, 70, 64, {1, 3}, {0, 1}, 16), {.rows = 2, .columns = 71, .block_channels = 64, .output_groups = 2, .group_tiles = 1, .chunk_rows = 1}, 99, 3},
  };
  for (const Case& each : cases) check(each);
}

TEST(WgmmaEmulation, MatchesTheFloat64ReferenceWithSparseP) {
  const auto problem = [](std::int64_t batch, std::int64_t channels, std::int64_t size, std::int64_t out_channels, Pair kernel, Pair dilation, std::int64_t entries,
                          double sparsity) {
    return TestProblem{.problem = {{.batch = batch, .in_channels = channels, .height = size, .width = size + 1, .out_channels = out_channels, .kernel = kernel,
                                    .padding = {1, 1}, .dilation = dilation}, entries}, .sparsity = sparsity};
  };
  const std::vector<Case> cases = {
      // A piece of whole rows for each warpgroup, P resident; entries that fill half a step; many lookups among four entries.
      {problem(2, 72, 9, 72, {3, 3}, {1, 1}, 33, 9), {.rows = 5, .columns = 10, .block_channels = 64, .output_groups = 2, .chunk_rows = 2, .piece = 48}, 99, 2},
      // Two groups of channels, one piece that is no multiple of 64; S twice.
      {problem(3, 24, 6, 136, {2, 3}, {1, 2}, 30, 1), {.rows = 3, .columns = 5, .block_channels = 128, .output_groups = 2, .chunk_rows = 5, .entry_buffers = 2,
                                                     .piece = 24}, 99, 2},
      // X in slices; P in a ring; warpgroups that take turns, more pieces than they take at once.
      {problem(4, 200, 7, 136, {3, 3}, {1, 1}, 70, 2), {.rows = 7, .columns = 8, .block_channels = 64, .output_groups = 2, .chunk_rows = 7, .stages = 2,
                                                        .entry_buffers = 2, .sets = 2, .piece = 48}, 4, 2},
      // Several slots, all resident; a part stored in two pieces that are under way together; entries filled up to a step; S twice.
      {problem(3, 24, 11, 72, {1, 2}, {1, 2}, 130, 3), {.rows = 7, .columns = 12, .block_channels = 128, .output_groups = 2, .chunk_rows = 7, .entry_buffers = 2,
                                                       .piece = 112}, 99, 2},
      // Rows wider than 64 positions; every entry is looked up.
      {problem(1, 16, 70, 64, {1, 3}, {1, 1}, 16, 16), {.rows = 1, .columns = 71, .block_channels = 64, .output_groups = 2, .chunk_rows = 1, .piece = 64}, 99, 3},
  };
  for (const Case& each : cases) check(each);
}

// LCNN_TEST_PROBLEMS raises their number: each is compiled.
TEST(WgmmaEmulation, MatchesTheFloat64ReferenceOnRandomProblems) {
  const char* wanted = std::getenv("LCNN_TEST_PROBLEMS");
  const std::uint64_t problems = wanted == nullptr ? 3 : std::stoull(wanted);
  for (std::uint64_t seed = 0; seed < problems; ++seed) {
    TestProblem test = wgmma_problem(seed, 3'000'000);
    const VectorForm form = vector_form(test.problem, test.weights(Precision::fp16));
    std::vector<WgmmaTile> kinds = wgmma_kinds(form, Precision::fp16, kSharedLimit, 4);
    std::erase_if(kinds, [&](const WgmmaTile& tile) { return tile.sparse() != (seed % 2 == 0); });  // either form of P in turn
    if (kinds.empty()) continue;  // a dictionary that is too large
    const int ring = 2 + static_cast<int>(random_bits(seed, 0) % 5), blocks = 1 + static_cast<int>(random_bits(seed, 1) % 2);
    check({.test = test, .tile = kinds[random_bits(seed, 2) % kinds.size()], .ring = ring, .blocks = blocks});
  }
}

}  // namespace
}  // namespace lcnn::cuda
