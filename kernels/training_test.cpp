#include "kernels/training.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/cpu/simd_target.h"
#include "kernels/cpu/training.h"
#include "kernels/training_test_support.h"

namespace lcnn {
namespace {

template <typename T>
constexpr T kPoison = std::numeric_limits<T>::quiet_NaN();

// All of the layer in T: Y and every gradient, into memory that was never written.
template <typename T>
struct Trained {
  std::vector<T> y;
  std::vector<T> grad_x, grad_dictionary, grad_coefficients, grad_bias;

  bool operator==(const Trained&) const = default;

  explicit Trained(const TrainingCase& c) {
    const LookupProblem& problem = c.test.problem;
    const auto converted = [](const std::vector<float>& values) { return std::vector<T>(values.begin(), values.end()); };
    const std::vector<T> x = converted(c.x), dictionary = converted(c.weights.dictionary), bias = converted(c.weights.bias);
    const std::vector<T> coefficients = converted(c.weights.lookups.coefficients), grad_y = converted(c.grad_y);
    const std::vector<std::int32_t> indices = c.indices();
    const LookupArrays<T> lookups{c.weights.lookups.row_offsets.data(), indices.data(), coefficients.data(),
                                  c.weights.lookups.lookups()};
    std::vector<T> s(problem.dictionary_stage().output_elements(), kPoison<T>), grad_s = s;
    y.assign(grad_y.size(), kPoison<T>);
    grad_x.assign(x.size(), kPoison<T>);
    grad_dictionary.assign(dictionary.size(), kPoison<T>);
    grad_coefficients.assign(coefficients.size(), kPoison<T>);
    grad_bias.assign(bias.size(), kPoison<T>);
    cpu::input_dictionary(problem, x.data(), dictionary.data(), s.data());
    cpu::lookup_output(problem, s.data(), lookups, bias.empty() ? nullptr : bias.data(), y.data());
    cpu::input_dictionary_gradient(problem, grad_y.data(), lookups, grad_s.data());
    cpu::coefficient_gradient(problem, grad_y.data(), s.data(), lookups, grad_coefficients.data());
    if (!bias.empty()) cpu::bias_gradient(problem, grad_y.data(), grad_bias.data());
    cpu::input_gradient(problem, grad_s.data(), dictionary.data(), grad_x.data());
    cpu::dictionary_gradient(problem, grad_s.data(), x.data(), grad_dictionary.data());
  }
};

template <typename T>
void expect_definition(const TrainingCase& c, double tolerance) {
  const Trained<T> found(c);
  const ExpectedGradients expected = gradients_by_definition(c);
  const std::vector<double> x(c.x.begin(), c.x.end());
  const std::vector<float> y(found.y.begin(), found.y.end());
  ASSERT_LE(compare(y, reference_lookup_conv2d(c.test.problem, c.weights, x)).rel_err, std::max(tolerance, 1e-7)) << c.test;
  ASSERT_LE(expected.x.error_of<T>(found.grad_x), tolerance) << c.test;
  ASSERT_LE(expected.dictionary.error_of<T>(found.grad_dictionary), tolerance) << c.test;
  ASSERT_LE(expected.coefficients.error_of<T>(found.grad_coefficients), tolerance) << c.test;
  ASSERT_LE(expected.bias.error_of<T>(found.grad_bias), tolerance) << c.test;
}

TEST(CpuTraining, MatchesTheDefinitionInDouble) {
  for (const TestProblem& test : training_problems(200)) expect_definition<double>({test, Precision::fp32}, 1e-12);
}

TEST(CpuTraining, MatchesTheDefinitionInFloat) {
  for (const TestProblem& test : training_problems(200)) expect_definition<float>({test, Precision::fp32}, 2e-6);
  for (const TestProblem& test : regular_problems()) expect_definition<float>({test, Precision::fp32}, 2e-6);
}

TEST(CpuTraining, MatchesTheDefinitionWithEveryInstructionSet) {
  cpu::with_each_simd_target([] {
    SCOPED_TRACE(cpu::simd_target());
    for (const TestProblem& test : training_problems(20)) expect_definition<double>({test, Precision::fp32}, 1e-12);
    for (const TestProblem& test : regular_problems()) expect_definition<float>({test, Precision::fp32}, 2e-6);
    for (const TestProblem& test : uncommon_sizes()) expect_definition<float>({test, Precision::fp32}, 2e-6);
  });
}

TEST(CpuTraining, UncommonSizesAreRightAndTheSameToTheBitOnAnyThreads) {
  const int threads = omp_get_max_threads();
  for (const int count : {1, 3}) {
    omp_set_num_threads(count);
    for (const TestProblem& test : uncommon_sizes()) {
      const TrainingCase c(test, Precision::fp32);
      expect_definition<float>(c, 2e-6);
      expect_definition<double>(c, 1e-12);
      EXPECT_EQ(Trained<float>(c), Trained<float>(c)) << test;
    }
  }
  omp_set_num_threads(threads);
}

// The layer is linear in each of its parameters: a central difference of any step is its derivative.
TEST(CpuTraining, MatchesFiniteDifferences) {
  for (const TestProblem& test : training_problems(40)) {
    TrainingCase c(test, Precision::fp32);
    const Trained<double> found(c);
    const auto check = [&](const char* name, std::vector<float>& values, const std::vector<double>& gradient) {
      for (std::uint64_t draw = 0; draw < 5 && !values.empty(); ++draw) {
        const std::size_t at = random_bits(test.seed + 3, draw) % values.size();
        const float before = values[at], above = before + 1.0f, below = before - 1.0f;
        values[at] = above;
        const double loss_above = c.loss();
        values[at] = below;
        const double loss_below = c.loss();
        values[at] = before;
        const double difference = (loss_above - loss_below) / (static_cast<double>(above) - below);
        ASSERT_NEAR(gradient[at], difference, 1e-9 * (1.0 + std::abs(loss_above))) << name << ' ' << at << '\n' << test;
      }
    };
    check("input", c.x, found.grad_x);
    check("dictionary", c.weights.dictionary, found.grad_dictionary);
    check("coefficient", c.weights.lookups.coefficients, found.grad_coefficients);
    check("bias", c.weights.bias, found.grad_bias);
  }
}

template <typename T>
void expect_filters(const FilterCase& c, double tolerance) {
  const std::vector<T> dictionary(c.weights.dictionary.begin(), c.weights.dictionary.end()), grad_filters(c.grad_filters.begin(), c.grad_filters.end());
  const std::vector<T> coefficients(c.weights.lookups.coefficients.begin(), c.weights.lookups.coefficients.end());
  const std::vector<std::int32_t> indices = c.indices();
  const LookupArrays<T> lookups{c.weights.lookups.row_offsets.data(), indices.data(), coefficients.data(), c.weights.lookups.lookups()};
  std::vector<T> filters(grad_filters.size(), kPoison<T>), grad_dictionary(dictionary.size(), kPoison<T>), grad_coefficients(coefficients.size(), kPoison<T>);
  cpu::filters(c.matrix, dictionary.data(), lookups, filters.data());
  cpu::filter_coefficient_gradient(c.matrix, grad_filters.data(), dictionary.data(), lookups, grad_coefficients.data());
  cpu::filter_dictionary_gradient(c.matrix, grad_filters.data(), lookups, grad_dictionary.data());
  const ExpectedFilters expected = filters_by_definition(c);
  ASSERT_LE(expected.filters.error_of<T>(filters), tolerance) << c.test;
  ASSERT_LE(expected.dictionary.error_of<T>(grad_dictionary), tolerance) << c.test;
  ASSERT_LE(expected.coefficients.error_of<T>(grad_coefficients), tolerance) << c.test;
}

TEST(CpuFilterTraining, MatchesTheDefinition) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    expect_filters<double>({random_problem(seed), Precision::fp32}, 1e-12);
    expect_filters<float>({random_problem(seed), Precision::fp32}, 2e-6);
    if (HasFatalFailure()) return;
  }
  for (const TestProblem& test : regular_problems()) expect_filters<float>({test, Precision::fp32}, 2e-6);
}

std::string refusal(const LookupProblem& problem, std::vector<std::int32_t> offsets, std::vector<std::int32_t> indices) {
  try {
    check_lookups(problem, offsets.data(), indices.data(), static_cast<std::int64_t>(indices.size()));
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return {};
}

TEST(CheckLookups, NamesWhatIsWrong) {
  LookupProblem problem{.conv = {.in_channels = 2, .height = 3, .width = 3, .out_channels = 2, .groups = 2},
                        .dictionary_size = 4};
  EXPECT_EQ(refusal(problem, {0, 2, 3}, {0, 1, 3}), "");
  EXPECT_EQ(refusal(problem, {0, 2, 3}, {0, 1}), "lookup offsets run from 0 to 3: they must run from 0 to the 2 lookups");
  EXPECT_EQ(refusal(problem, {0, 4, 3}, {0, 1, 3}), "lookup offsets fall from 4 to 3 at row 1");
  EXPECT_EQ(refusal(problem, {0, 2, 3}, {0, 2, 3}), "lookup index 2 at row 0 is outside its group's entries 0 to 1");
  EXPECT_EQ(refusal(problem, {0, 2, 3}, {0, 1, 1}), "lookup index 1 at row 1 is outside its group's entries 2 to 3");
}

}  // namespace
}  // namespace lcnn
