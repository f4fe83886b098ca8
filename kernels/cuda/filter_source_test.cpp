// The generated source compiles for a GPU that need not be there; what it computes is tested through the variant table.
#include "kernels/cuda/filter_source.h"

#include <gtest/gtest.h>

#include <array>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {
namespace {

constexpr int kSharedLimit = 232448, kMultiprocessors = 132;  // an H100's
constexpr std::array kPrecisions{Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};

TestProblem filter_problem(std::uint64_t seed) {
  TestProblem test = ungrouped_problem(seed);
  test.problem.granularity = Granularity::filter;
  return test;
}

TEST(FilterSource, CompilesForAwkwardProblemsInEveryStorageType) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const TestProblem test = filter_problem(seed);
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    ASSERT_EQ(why_not_filter(test.problem), "");
    const auto tiles = filter_tiles(test.problem, precision, kSharedLimit, kMultiprocessors);
    ASSERT_FALSE(tiles.empty()) << test;
    ASSERT_NO_THROW(nvrtc_compile(filter_source(test.problem, test.weights(precision), precision, tiles.front()), "sm_90a")) << test;
  }
}

TEST(FilterSource, EveryTileCoversTheOutputAndFitsTheDevice) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const TestProblem test = filter_problem(seed);
    const Conv2dProblem& conv = test.problem.conv;
    const Precision precision = kPrecisions[seed % kPrecisions.size()];
    for (const FilterTile& tile : filter_tiles(test.problem, precision, kSharedLimit, kMultiprocessors)) {
      const FilterLayout layout(test.problem, precision, tile);
      EXPECT_LE(layout.shared_bytes, kSharedLimit);
      EXPECT_LE(layout.threads, 512);
      EXPECT_GE(layout.grid_x * tile.columns, conv.out_width());
      EXPECT_GE(layout.grid_y * tile.rows, conv.out_height());
      EXPECT_EQ(conv.out_width() % tile.pixels, 0);
      EXPECT_EQ(tile.columns % tile.pixels, 0);
      EXPECT_EQ(conv.width % tile.vector, 0);
      EXPECT_EQ(layout.x_columns % tile.vector, 0);
      // Wherever a tile begins, the columns of X that it needs are those that it loads.
      for (int x = 0; x < layout.grid_x; ++x) {
        const int first = x * tile.columns * static_cast<int>(conv.stride[1]) - static_cast<int>(conv.padding[1]);
        const int before = ((first % tile.vector) + tile.vector) % tile.vector;
        const auto span = (tile.columns - 1) * conv.stride[1] + (conv.kernel[1] - 1) * conv.dilation[1] + 1;
        EXPECT_LE(before + span, layout.x_columns) << test;
      }
    }
  }
}

TEST(FilterSource, SaysWhatItDoesNotTake) {
  LookupProblem problem = filter_problem(1).problem;
  problem.granularity = Granularity::vector;
  problem.conv.kernel = {3, 3};
  EXPECT_NE(why_not_filter(problem), "");
  problem.conv.kernel = {1, 1};
  EXPECT_EQ(why_not_filter(problem), "");
  problem.dictionary_size = 65;
  EXPECT_NE(why_not_filter(problem).find("64"), std::string::npos);
}

}  // namespace
}  // namespace lcnn::cuda
