// wgmma_gather's own text, compiled for the host and run thread by thread: results and barriers where there is no GPU, of clusters
// of one block and 16-bit elements.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/cuda/emulated_kernel.h"
#include "kernels/cuda/wgmma_gather_source.h"
#include "kernels/reference.h"

namespace lcnn::cuda {
namespace {

// y, NHWC, of a tile run by `blocks` blocks.
std::vector<float> emulated(const VectorForm& form, const std::vector<float>& input, const WgmmaGatherTile& tile, int blocks) {
  const auto& [problem, weights] = form;
  const WgmmaGatherLayout layout(problem, Precision::fp16, tile, weights.lookups);
  return EmulatedKernel(wgmma_gather_source(problem, weights.lookups, Precision::fp16, tile, layout), "// The fused kernel whose dictionary stage is",
                        "wgmma_gather(input_map, output_map, dictionary.data(), records.data())", tile.form_groups * 128)
      .run(problem.conv, input, wgmma_gather_dictionary(problem, weights.dictionary, Precision::fp16, layout.own_entries, layout.entry_parts),
           wgmma_gather_records(problem.lookup_stage(), weights.lookups, weights.bias, Precision::fp16, tile, layout),
           {.columns = layout.pitch, .rows = layout.own_rows, .images = layout.own_images},
           {.width = tile.columns, .height = layout.column_tiles, .batch = problem.conv.batch * problem.conv.out_height(), .box = {.columns = layout.item_columns, .channels = layout.box_bytes / 2}},
           std::min(blocks, layout.tiles) * layout.channel_blocks);
}

void check(const TestProblem& test, const WgmmaGatherTile& tile, int blocks) {
  const LookupWeights weights = test.weights(Precision::fp16);
  const std::vector<float> input = test.input(Precision::fp16);
  const Conv2dProblem& conv = test.problem.conv;
  const std::vector<double> expected =
      transposed(reference_lookup_conv2d(test.problem, weights, std::vector<double>(input.begin(), input.end())), conv.batch, conv.out_channels);
  const Comparison found = compare(emulated(vector_form(test.problem, weights), input, tile, blocks), expected);
  EXPECT_TRUE(found.rel_err <= 1e-3) << tile_name(tile) << " " << test << "\nrel_err " << found.rel_err << ", not finite: " << found.non_finite;
}

TEST(WgmmaGatherEmulation, MatchesTheFloat64ReferenceAndItsBarriersHold) {
  const auto problem = [](std::int64_t batch, std::int64_t channels, std::int64_t size, std::int64_t out_channels, Pair kernel, Pair padding, std::int64_t entries) {
    return TestProblem{.problem = {{.batch = batch, .in_channels = channels, .height = size, .width = size + 1, .out_channels = out_channels, .kernel = kernel,
                                    .padding = padding}, entries}};
  };
  // Whole images, one and several of them, more than are left at the end; slices that come and go; several tiles a block. Lookups as data.
  check(problem(3, 200, 7, 48, {3, 3}, {1, 1}, 20), {.images = 2, .rows = 7, .columns = 8, .form_groups = 2, .gather_warps = 4, .stages = 2, .code = false, .item_channels = 64, .item_blocks = 2, .store_buffers = 2}, 1);
  check(problem(4, 72, 9, 32, {3, 2}, {2, 0}, 33), {.rows = 12, .columns = 9, .form_groups = 1, .gather_warps = 4, .stages = 3, .code = false, .item_channels = 64}, 2);
  // Strips of rows, the last one shorter, and of columns; more warps than there is work for; few channels at once; lines in parts.
  check(problem(2, 24, 13, 16, {5, 5}, {2, 2}, 9), {.rows = 4, .columns = 7, .form_groups = 1, .gather_warps = 8, .stages = 2, .code = false, .item_channels = 16, .item_blocks = 2, .store_buffers = 2}, 2);
  check(problem(2, 24, 8, 48, {3, 3}, {1, 1}, 9), {.rows = 8, .columns = 9, .form_groups = 1, .gather_warps = 8, .stages = 2, .code = false, .item_channels = 16}, 2);
  check(problem(1, 136, 6, 64, {1, 1}, {0, 0}, 64), {.rows = 3, .columns = 7, .form_groups = 1, .gather_warps = 4, .stages = 4, .code = false, .item_channels = 64, .item_blocks = 2}, 1);
  check(problem(2, 16, 43, 80, {3, 3}, {1, 1}, 9), {.rows = 3, .columns = 44, .form_groups = 1, .gather_warps = 4, .stages = 2, .code = false, .item_channels = 16, .item_blocks = 2, .store_buffers = 2}, 5);
  // Lookups as code: groups that divide the channels and that do not, images and strips.
  check(problem(3, 72, 7, 96, {3, 3}, {1, 1}, 20), {.images = 2, .rows = 7, .columns = 8, .form_groups = 2, .gather_warps = 4, .stages = 2, .item_channels = 64, .store_buffers = 2}, 1);
  check(problem(2, 24, 11, 48, {5, 3}, {2, 2}, 9), {.rows = 4, .columns = 14, .form_groups = 1, .gather_warps = 8, .stages = 2, .item_channels = 64, .store_buffers = 4}, 2);
  check(problem(2, 16, 38, 128, {3, 3}, {1, 1}, 9), {.rows = 3, .columns = 39, .form_groups = 1, .gather_warps = 4, .stages = 2, .item_channels = 128, .store_buffers = 1}, 7);
  // Blocks that form the same S and divide channels, as code and as data.
  check(problem(3, 72, 7, 128, {3, 3}, {1, 1}, 20), {.images = 2, .rows = 7, .columns = 8, .channel_parts = 2, .form_groups = 2, .gather_warps = 4, .stages = 2, .item_channels = 64, .store_buffers = 2}, 1);
  check(problem(2, 24, 11, 96, {5, 3}, {2, 2}, 9), {.rows = 4, .columns = 14, .channel_parts = 3, .form_groups = 1, .gather_warps = 8, .stages = 2, .code = false, .item_channels = 32, .store_buffers = 2}, 2);
  // Slices of D that stay, and more or fewer of them at a time than of X.
  check(problem(3, 136, 7, 96, {3, 3}, {1, 1}, 50), {.rows = 7, .columns = 8, .form_groups = 2, .gather_warps = 12, .stages = 2, .dictionary_stages = 6, .item_channels = 64, .dictionary_parts = 2, .store_buffers = 2}, 1);
  check(problem(3, 200, 7, 48, {3, 3}, {1, 1}, 20), {.rows = 4, .columns = 8, .form_groups = 2, .gather_warps = 4, .stages = 2, .dictionary_stages = 3, .code = false, .item_channels = 64}, 2);
  check(problem(4, 48, 7, 64, {3, 3}, {1, 1}, 50), {.rows = 7, .columns = 8, .form_groups = 1, .gather_warps = 8, .stages = 2, .dictionary_stages = 2, .item_channels = 64, .dictionary_parts = 4, .store_buffers = 1}, 1);
  // Parts of the dictionary: X that comes again for each, and that stays; a part that is smaller.
  check(problem(3, 136, 7, 96, {3, 3}, {1, 1}, 50), {.images = 2, .rows = 7, .columns = 8, .form_groups = 2, .gather_warps = 12, .stages = 2, .item_channels = 64, .dictionary_parts = 2, .store_buffers = 2}, 1);
  check(problem(2, 200, 11, 48, {5, 3}, {2, 2}, 70), {.rows = 4, .columns = 14, .form_groups = 1, .gather_warps = 8, .stages = 4, .item_channels = 64, .dictionary_parts = 4, .store_buffers = 1}, 2);
  // Two halves of a tile in a word: images, one of them beyond the last; rows, of which there are fewer; parts of columns.
  check(problem(3, 72, 7, 96, {3, 3}, {1, 1}, 20), {.rows = 7, .columns = 8, .form_groups = 2, .gather_warps = 4, .stages = 2, .item_channels = 64, .halves = 2, .store_buffers = 2}, 1);
  check(problem(5, 24, 5, 64, {3, 3}, {1, 1}, 9), {.images = 2, .rows = 5, .columns = 6, .form_groups = 1, .gather_warps = 4, .stages = 2, .item_channels = 64, .halves = 2, .store_buffers = 4}, 2);
  check(problem(1, 24, 11, 48, {5, 3}, {2, 2}, 9), {.rows = 4, .columns = 7, .form_groups = 1, .gather_warps = 8, .stages = 2, .item_channels = 64, .halves = 2, .store_buffers = 1}, 2);
  check(problem(3, 72, 7, 96, {3, 3}, {1, 1}, 20), {.rows = 7, .columns = 8, .form_groups = 2, .gather_warps = 12, .stages = 2, .item_channels = 64, .halves = 2, .sums = 2, .dictionary_parts = 2, .store_buffers = 2}, 1);
  // As data: sums of one and of two, images and rows.
  check(problem(5, 24, 7, 64, {3, 3}, {1, 1}, 9), {.images = 2, .rows = 7, .columns = 8, .form_groups = 1, .gather_warps = 4, .stages = 2, .code = false, .item_channels = 32, .item_blocks = 2, .halves = 2, .store_buffers = 4}, 2);
  check(problem(1, 24, 11, 96, {5, 3}, {2, 2}, 9), {.rows = 4, .columns = 14, .channel_parts = 3, .form_groups = 1, .gather_warps = 8, .stages = 2, .code = false, .item_channels = 32, .halves = 2, .sums = 2}, 2);
}

}  // namespace
}  // namespace lcnn::cuda
