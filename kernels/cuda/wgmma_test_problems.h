// Problems that wgmma_fused computes, for its tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <set>
#include <tuple>
#include <vector>

#include "kernels/cuda/wgmma_source.h"
#include "kernels/test_problems.h"

namespace lcnn::cuda {

// Channels that fill slices and blocks and that do not, kernels of every shape, images narrower and wider than 64 positions; some
// images or as many as cost the reference `most_work` multiplications.
inline TestProblem wgmma_problem(std::uint64_t seed, std::int64_t most_work) {
  std::uint64_t draw = 0;
  const auto among = [&](std::initializer_list<std::int64_t> values) { return *(values.begin() + random_bits(seed ^ 0x77676D6D61, draw++) % values.size()); };
  TestProblem test{.seed = seed};
  Conv2dProblem& conv = test.problem.conv;
  conv.in_channels = among({8, 16, 24, 64, 72, 136, 264});
  conv.out_channels = among({8, 40, 64, 72, 136, 264});
  conv.kernel = {among({1, 2, 3, 5}), among({1, 2, 3, 5})};
  conv.padding = {among({0, 1, 2}), among({0, 1, 2})};
  conv.dilation = {among({1, 1, 2}), among({1, 1, 2})};
  conv.height = (conv.kernel[0] - 1) * conv.dilation[0] + among({1, 2, 5, 11, 14});
  conv.width = (conv.kernel[1] - 1) * conv.dilation[1] + among({1, 3, 6, 13, 28, 70});
  conv.bias = among({0, 1}) == 1;
  test.problem.dictionary_size = among({1, 5, 16, 30, 64, 130, 250});
  if (test.problem.dictionary_size <= 5 && among({0, 1}) == 1) test.problem.granularity = Granularity::filter;
  test.sparsity = static_cast<double>(among({0, 1, 1, 1, 3})) * static_cast<double>(std::min<std::int64_t>(test.problem.dictionary_size, 4)) / 4;
  const std::int64_t image = conv.height * conv.width * test.problem.dictionary_elements() +
                             conv.out_height() * conv.out_width() * conv.out_channels * conv.taps() * 4;
  conv.batch = among({1, 3, std::clamp<std::int64_t>(most_work / image, 1, 400)});
  return test;
}

// Of a problem's tiles the first of each kind: X whole or in slices, one buffer for S or two, in step or taking turns, one or two
// tiles of 64 positions at once, P dense or sparse.
inline std::vector<WgmmaTile> wgmma_kinds(const VectorForm& form, Precision precision, int shared_limit, int multiprocessors) {
  std::set<std::tuple<bool, int, int, int, bool>> seen;
  std::vector<WgmmaTile> kinds;
  for (const WgmmaTile& tile : wgmma_tiles(form.problem, precision, form.weights.lookups.lookups(), shared_limit, multiprocessors)) {
    if (seen.insert({tile.stages > 0, tile.entry_buffers, tile.sets, tile.group_tiles, tile.sparse()}).second) kinds.push_back(tile);
  }
  return kinds;
}

}  // namespace lcnn::cuda
