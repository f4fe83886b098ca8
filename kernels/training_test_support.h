// Gradients of the lookup layer straight from their definition, in float64: what training kernels are tested against.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/reference.h"
#include "kernels/test_problems.h"
#include "kernels/training.h"

namespace lcnn {

// One training problem: parameters, input and dY, all stored exactly in `precision`.
struct TrainingCase {
  TestProblem test;
  LookupWeights weights;
  std::vector<float> x, grad_y;

  TrainingCase(const TestProblem& problem, Precision precision)
      : test(problem), weights(problem.weights(precision)), x(problem.input(precision)) {
    grad_y.resize(problem.problem.conv.output_elements());
    for (std::size_t i = 0; i < grad_y.size(); ++i) grad_y[i] = round_to(precision, random_value(problem.seed + 2, i));
  }

  std::vector<std::int32_t> indices() const { return {weights.lookups.indices.begin(), weights.lookups.indices.end()}; }

  // sum of dY * Y: the function whose gradients are computed.
  double loss() const {
    const std::vector<double> input(x.begin(), x.end());
    const std::vector<double> y = reference_lookup_conv2d(test.problem, weights, input);
    double sum = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * grad_y[i];
    return sum;
  }
};

// A gradient, and how large its terms are: rounding errors grow with the terms, also where their sum cancels.
struct ExpectedGradient {
  std::vector<double> value, term_squares;

  explicit ExpectedGradient(std::size_t elements) : value(elements), term_squares(elements) {}
  void add(std::int64_t at, double term) {
    value[at] += term;
    term_squares[at] += term * term;
  }
  // ||found - value|| / max(||value||, root of the terms' squares); NaN when anything found is.
  template <typename T>
  double error_of(std::span<const T> found) const {
    if (found.size() != value.size()) return std::nan("");
    double error = 0.0, values = 0.0, terms = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      error += (static_cast<double>(found[i]) - value[i]) * (static_cast<double>(found[i]) - value[i]);
      values += value[i] * value[i];
      terms += term_squares[i];
    }
    const double scale = std::max(values, terms);
    return std::sqrt(error / (scale > 0 ? scale : 1.0));
  }
};

struct ExpectedGradients {
  ExpectedGradient x, dictionary, coefficients, bias;
};

// One multiply-add for every (output, lookup, channel, dictionary tap).
inline std::int64_t definition_cost(const TestProblem& test) {
  const Conv2dProblem dictionary = test.problem.dictionary_stage(), lookup = test.problem.lookup_stage();
  return static_cast<std::int64_t>(static_cast<double>(lookup.output_elements() * lookup.taps()) * test.sparsity) *
         dictionary.in_channels_per_group() * dictionary.taps();
}

inline ExpectedGradients gradients_by_definition(const TrainingCase& c) {
  const Conv2dProblem d = c.test.problem.dictionary_stage(), l = c.test.problem.lookup_stage();
  const LookupTable& table = c.weights.lookups;
  ExpectedGradients g{.x = ExpectedGradient(c.x.size()),
                      .dictionary = ExpectedGradient(c.weights.dictionary.size()),
                      .coefficients = ExpectedGradient(table.coefficients.size()),
                      .bias = ExpectedGradient(c.weights.bias.size())};
  const std::int64_t channels = d.in_channels_per_group();
  const auto at_lookup = [&](std::int64_t n, std::int32_t i, std::int64_t row, std::int64_t column, double dy) {
    const std::int64_t entry = table.indices[i], first_channel = entry / d.out_channels_per_group() * channels;
    for (std::int64_t j = 0; j < channels * d.taps(); ++j) {
      const std::int64_t h = row * d.stride[0] - d.padding[0] + j % d.taps() / d.kernel[1] * d.dilation[0];
      const std::int64_t w = column * d.stride[1] - d.padding[1] + j % d.kernel[1] * d.dilation[1];
      if (h < 0 || h >= d.height || w < 0 || w >= d.width) continue;
      const std::int64_t at_x = ((n * d.in_channels + first_channel + j / d.taps()) * d.height + h) * d.width + w;
      const std::int64_t at_d = entry * channels * d.taps() + j;
      g.x.add(at_x, dy * table.coefficients[i] * c.weights.dictionary[at_d]);
      g.dictionary.add(at_d, dy * table.coefficients[i] * c.x[at_x]);
      g.coefficients.add(i, dy * c.weights.dictionary[at_d] * c.x[at_x]);
    }
  };
  std::size_t output = 0;
  for (std::int64_t n = 0; n < l.batch; ++n) {
    for (std::int64_t k = 0; k < l.out_channels; ++k) {
      for (std::int64_t pixel = 0; pixel < l.out_height() * l.out_width(); ++pixel, ++output) {
        const double dy = c.grad_y[output];
        if (!c.weights.bias.empty()) g.bias.add(k, dy);
        for (std::int64_t tap = 0; tap < l.taps(); ++tap) {
          const std::int64_t h = pixel / l.out_width() * l.stride[0] - l.padding[0] + tap / l.kernel[1] * l.dilation[0];
          const std::int64_t w = pixel % l.out_width() * l.stride[1] - l.padding[1] + tap % l.kernel[1] * l.dilation[1];
          if (h < 0 || h >= l.height || w < 0 || w >= l.width) continue;
          const std::int64_t row = k * l.taps() + tap;
          for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) at_lookup(n, i, h, w, dy);
        }
      }
    }
  }
  return g;
}

// The filters of a test problem as a matrix, and dW, all stored exactly in `precision`.
struct FilterCase {
  TestProblem test;
  LookupWeights weights;
  FilterMatrix matrix;
  std::vector<float> grad_filters;

  FilterCase(const TestProblem& problem, Precision precision) : test(problem), weights(problem.weights(precision)) {
    const Conv2dProblem d = problem.problem.dictionary_stage(), l = problem.problem.lookup_stage();
    matrix = {l.out_channels * l.taps(), d.out_channels, d.in_channels_per_group() * d.taps()};
    grad_filters.resize(matrix.rows * matrix.columns);
    for (std::size_t i = 0; i < grad_filters.size(); ++i) grad_filters[i] = round_to(precision, random_value(problem.seed + 2, i));
  }

  std::vector<std::int32_t> indices() const { return {weights.lookups.indices.begin(), weights.lookups.indices.end()}; }
};

// W and the gradients of sum(dW * W).
struct ExpectedFilters {
  ExpectedGradient filters, dictionary, coefficients;
};

inline ExpectedFilters filters_by_definition(const FilterCase& c) {
  const LookupTable& table = c.weights.lookups;
  ExpectedFilters expected{.filters = ExpectedGradient(c.grad_filters.size()),
                           .dictionary = ExpectedGradient(c.weights.dictionary.size()),
                           .coefficients = ExpectedGradient(table.coefficients.size())};
  for (std::int64_t row = 0; row < c.matrix.rows; ++row) {
    for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
      for (std::int64_t j = 0; j < c.matrix.columns; ++j) {
        const std::int64_t at_w = row * c.matrix.columns + j, at_d = table.indices[i] * c.matrix.columns + j;
        const double d = c.weights.dictionary[at_d], dw = c.grad_filters[at_w];
        expected.filters.add(at_w, table.coefficients[i] * d);
        expected.dictionary.add(at_d, table.coefficients[i] * dw);
        expected.coefficients.add(i, dw * d);
      }
    }
  }
  return expected;
}

// Random problems that the definition evaluates in reasonable time.
inline std::vector<TestProblem> training_problems(std::uint64_t count) {
  constexpr std::int64_t kMostMultiplyAdds = 20'000'000;
  std::vector<TestProblem> problems;
  for (std::uint64_t seed = 0; problems.size() < count; ++seed) {
    const TestProblem test = random_problem(seed);
    if (definition_cost(test) <= kMostMultiplyAdds) problems.push_back(test);
  }
  return problems;
}

// Layers that kernels cut into strips, with one output position (where the kernel meets padding, too), and of few pixels an image.
inline std::vector<TestProblem> uncommon_sizes() {
  const Conv2dProblem strips{.batch = 2, .in_channels = 2, .height = 91, .width = 103, .out_channels = 96,
                             .kernel = {5, 3}, .stride = {2, 3}, .padding = {2, 1}};
  const Conv2dProblem one_position{.batch = 19, .in_channels = 6, .height = 5, .width = 4, .out_channels = 20,
                                   .kernel = {5, 4}, .stride = {3, 2}, .padding = {1, 0}, .groups = 2};
  const Conv2dProblem pixels{.batch = 19, .in_channels = 40, .out_channels = 36, .groups = 2};
  const Conv2dProblem few_pixels{.batch = 7, .in_channels = 20, .height = 3, .width = 5, .out_channels = 18,
                                 .kernel = {3, 3}, .padding = {1, 1}};
  return {{.problem = {strips, 24, Granularity::vector}, .seed = 1}, {.problem = {one_position, 8, Granularity::vector}, .sparsity = 2, .seed = 2},
          {.problem = {pixels, 14, Granularity::vector}, .sparsity = 2, .seed = 3}, {.problem = {few_pixels, 11, Granularity::vector}, .seed = 4}};
}

}  // namespace lcnn
