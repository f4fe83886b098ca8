#include "kernels/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/test_problems.h"

namespace lcnn {
namespace {

// Conv2d straight from its definition, one output at a time: shares nothing with the reference.
double conv2d_at(const Conv2dProblem& p, const std::vector<double>& x, const DenseWeights& w, std::int64_t n,
                 std::int64_t k, std::int64_t row, std::int64_t column) {
  double sum = w.bias.empty() ? 0.0 : w.bias[k];
  const std::int64_t group = k / (p.out_channels / p.groups), channels = p.in_channels / p.groups;
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t r = 0; r < p.kernel[0]; ++r) {
      for (std::int64_t s = 0; s < p.kernel[1]; ++s) {
        const std::int64_t h = row * p.stride[0] + r * p.dilation[0] - p.padding[0];
        const std::int64_t v = column * p.stride[1] + s * p.dilation[1] - p.padding[1];
        if (h < 0 || v < 0 || h >= p.height || v >= p.width) continue;
        sum += x[((n * p.in_channels + group * channels + c) * p.height + h) * p.width + v] *
               w.weight[((k * channels + c) * p.kernel[0] + r) * p.kernel[1] + s];
      }
    }
  }
  return sum;
}

std::vector<double> conv2d_by_definition(const Conv2dProblem& p, const std::vector<double>& x, const DenseWeights& w) {
  std::vector<double> y;
  for (std::int64_t n = 0; n < p.batch; ++n)
    for (std::int64_t k = 0; k < p.out_channels; ++k)
      for (std::int64_t row = 0; row < p.out_height(); ++row)
        for (std::int64_t column = 0; column < p.out_width(); ++column)
          y.push_back(conv2d_at(p, x, w, n, k, row, column));
  return y;
}

double rel_err(const std::vector<double>& y, const std::vector<double>& expected) {
  double error = 0, scale = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += (y[i] - expected[i]) * (y[i] - expected[i]);
    scale += expected[i] * expected[i];
  }
  return std::sqrt(error / (scale > 0 ? scale : 1));
}

TEST(Reference, LookupsEqualConv2dWithReconstructedWeights) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const TestProblem test = random_problem(seed);
    const LookupWeights weights = test.weights(Precision::fp32);
    const DenseWeights dense = dense_weights(test.problem, weights, Precision::fp32);
    const std::vector<float> input = test.input(Precision::fp32);
    const std::vector<double> x(input.begin(), input.end());
    const std::vector<double> expected = conv2d_by_definition(test.problem.conv, x, dense);
    const std::vector<double> conv = reference_conv2d(test.problem.conv, x, dense.weight, dense.bias);
    ASSERT_EQ(conv.size(), expected.size()) << test;
    ASSERT_LE(rel_err(conv, expected), 1e-14) << test;
    // W was rounded to fp32: half an ulp of it is all that may differ.
    ASSERT_LE(rel_err(reference_lookup_conv2d(test.problem, weights, x), expected), 1e-7) << test;
  }
}

TEST(Reference, VectorFormComputesTheSameFunction) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const TestProblem test = random_problem(seed);
    const LookupWeights weights = test.weights(Precision::fp32);
    const VectorForm form = vector_form(test.problem, weights);
    ASSERT_EQ(form.problem.granularity, Granularity::vector);
    ASSERT_NO_THROW(validate(form.weights.lookups, form.problem)) << test;
    const std::vector<float> input = test.input(Precision::fp32);
    const std::vector<double> x(input.begin(), input.end());
    const std::vector<double> expected = reference_lookup_conv2d(test.problem, weights, x);
    ASSERT_LE(rel_err(reference_lookup_conv2d(form.problem, form.weights, x), expected), 1e-14) << test;
  }
}

TEST(Reference, ComparisonReportsRelativeError) {
  const std::vector<float> y{3.0f, 4.5f};
  const std::vector<double> reference{3.0, 4.0};
  const Comparison found = compare(y, reference);
  EXPECT_DOUBLE_EQ(found.rel_err, 0.1);
  EXPECT_EQ(found.non_finite, 0);
}

TEST(Reference, ComparisonLetsNoUnwrittenElementPass) {
  std::vector<float> y(1000, 1.0f);
  const std::vector<double> reference(1000, 1.0);
  EXPECT_EQ(compare(y, reference).rel_err, 0.0);
  y[517] = std::numeric_limits<float>::quiet_NaN();
  const Comparison found = compare(y, reference);
  EXPECT_EQ(found.non_finite, 1);
  EXPECT_FALSE(found.rel_err <= 1.0);
}

}  // namespace
}  // namespace lcnn
