// Random problems for tests: awkward on purpose, small enough for the float64 reference.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <vector>

#include "kernels/problem.h"
#include "kernels/random.h"
#include "kernels/weights.h"

namespace lcnn {

struct TestProblem {
  LookupProblem problem;
  double sparsity = 1.0;  // average lookups per position
  std::uint64_t seed = 0;

  LookupWeights weights(Precision precision) const { return random_weights(problem, sparsity, precision, seed); }
  // X [batch, in_channels, height, width], rounded to `precision`.
  std::vector<float> input(Precision precision) const {
    std::vector<float> x(problem.conv.input_elements());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = round_to(precision, random_value(seed + 1, i));
    return x;
  }
};

// [batch][rows][columns] as [batch][columns][rows]: channels and pixels of NCHW as NHWC has them, and back.
template <typename T>
std::vector<T> transposed(const std::vector<T>& values, std::int64_t batch, std::int64_t rows) {
  const std::int64_t columns = static_cast<std::int64_t>(values.size()) / (batch * rows);
  std::vector<T> moved(values.size());
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) moved[(n * columns + column) * rows + row] = values[(n * rows + row) * columns + column];
    }
  }
  return moved;
}

// Non-square, prime extents, every stride, padding, dilation and group count, both granularities; one problem in
// eight has no lookups at all, one in eight a dense P.
inline TestProblem random_problem(std::uint64_t seed) {
  std::uint64_t draw = 0;
  const auto among = [&](std::initializer_list<std::int64_t> values) {
    return *(values.begin() + random_bits(seed, draw++) % values.size());
  };
  TestProblem test{.seed = seed};
  Conv2dProblem& conv = test.problem.conv;
  conv.groups = among({1, 1, 1, 2, 3});
  conv.batch = among({1, 2, 3, 5});
  conv.in_channels = conv.groups * among({1, 3, 4, 7, 13, 16});
  conv.out_channels = conv.groups * among({1, 2, 5, 8, 17, 32});
  test.problem.dictionary_size = conv.groups * among({1, 3, 4, 8, 11, 19});
  test.problem.granularity = among({0, 1}) == 0 ? Granularity::vector : Granularity::filter;
  conv.kernel = {among({1, 2, 3, 5}), among({1, 2, 3, 5})};
  conv.stride = {among({1, 1, 2, 3}), among({1, 1, 2, 3})};
  conv.padding = {among({0, 1, 2}), among({0, 1, 3})};
  conv.dilation = {among({1, 1, 2}), among({1, 1, 3})};
  conv.bias = among({0, 1}) == 1;
  const auto extent = [&](int axis) {
    const std::int64_t least = conv.dilation[axis] * (conv.kernel[axis] - 1) + 1 - 2 * conv.padding[axis];
    return std::max<std::int64_t>(least, 1) + among({0, 1, 4, 10, 28, 36});
  };
  conv.height = extent(0);
  conv.width = extent(1);
  const double per_group = static_cast<double>(test.problem.dictionary_size_per_group());
  switch (among({0, 1, 2, 3, 4, 5, 6, 7})) {
    case 0: test.sparsity = 0.0; break;
    case 1: test.sparsity = per_group; break;
    case 2: test.sparsity = std::min(0.4, per_group); break;
    case 3: test.sparsity = std::min(3.0, per_group); break;
    default: test.sparsity = std::min(1.0, per_group);
  }
  return test;
}

inline TestProblem ungrouped_problem(std::uint64_t seed) {
  TestProblem test = random_problem(seed);
  test.problem.conv.groups = 1;
  return test;
}

// The ordinary layers that some implementations are limited to: channels and pixels in multiples of 16.
inline std::vector<TestProblem> regular_problems() {
  const auto layer = [](std::int64_t in, std::int64_t out, std::int64_t size, std::int64_t kernel, std::int64_t stride,
                        std::int64_t dictionary_size, Granularity granularity) {
    const Conv2dProblem conv{.batch = 4, .in_channels = in, .height = size, .width = size, .out_channels = out,
                             .kernel = {kernel, kernel}, .stride = {stride, stride},
                             .padding = {kernel / 2, kernel / 2}};
    return TestProblem{.problem = {conv, dictionary_size, granularity}, .sparsity = 1.0, .seed = 4711};
  };
  return {layer(64, 64, 14, 3, 1, 16, Granularity::vector), layer(32, 64, 8, 1, 1, 24, Granularity::vector),
          layer(64, 32, 12, 3, 2, 16, Granularity::filter), layer(128, 128, 6, 3, 1, 128, Granularity::vector)};
}

inline std::ostream& operator<<(std::ostream& out, const TestProblem& test) {
  const Conv2dProblem& conv = test.problem.conv;
  const auto pair = [&](const Pair& p) -> std::ostream& { return out << p[0] << 'x' << p[1]; };
  out << "seed " << test.seed << ": n" << conv.batch << ' ' << conv.in_channels << '@' << conv.height << 'x'
      << conv.width << " -> " << conv.out_channels << " kernel ";
  pair(conv.kernel) << " stride ";
  pair(conv.stride) << " padding ";
  pair(conv.padding) << " dilation ";
  pair(conv.dilation) << " groups " << conv.groups << " bias " << conv.bias << ' '
                      << to_string(test.problem.granularity) << " dictionary of " << test.problem.dictionary_size
                      << ", sparsity " << test.sparsity;
  return out;
}

}  // namespace lcnn
