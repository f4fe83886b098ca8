// flat_gather and batch_gather against the float64 reference: every instruction set, any number of threads, large layers.
#include <gtest/gtest.h>
#include <omp.h>

#include <string>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/poisoning_heap.h"
#include "kernels/cpu/simd_target.h"
#include "kernels/reference.h"
#include "kernels/stored_values.h"
#include "kernels/test_problems.h"

namespace lcnn {
namespace {

constexpr double tolerance(Precision precision) { return precision == Precision::bf16 ? 1.6e-2 : 2e-6; }

std::vector<float> run(const Variant& variant, const TestProblem& test, const LookupWeights& weights, Precision precision) {
  PoisoningHeap heap;
  const Conv2dProblem& conv = test.problem.conv;
  // Of their exact sizes: what is read or written beyond them is found by the address sanitizer.
  std::vector<char> x(conv.input_elements() * element_bytes(precision)), y(conv.output_elements() * element_bytes(precision), '\xFF');
  store_values(test.input(precision), precision, x.data());
  const auto prepared = variant.prepare(test.problem, weights, precision, Layout::nchw, {.allocator = &heap});
  for (int repeat = 0; repeat < 2; ++repeat) prepared->run(x.data(), y.data(), nullptr);  // the second finds used tiles
  return load_values(y.data(), conv.output_elements(), precision);
}

void check(const std::vector<TestProblem>& tests, const std::string& where) {
  for (const TestProblem& test : tests) {
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      const LookupWeights weights = test.weights(precision);
      const std::vector<float> input = test.input(precision);
      const std::vector<double> reference = reference_lookup_conv2d(test.problem, weights, std::vector<double>(input.begin(), input.end()));
      for (const Variant* variant : {&cpu::flat_gather, &cpu::batch_gather}) {
        if (!variant->why_unsupported(test.problem, precision, Layout::nchw).empty()) continue;
        const Comparison found = compare(run(*variant, test, weights, precision), reference);
        EXPECT_TRUE(found.rel_err <= tolerance(precision))
            << variant->name << ' ' << to_string(precision) << ", " << where << ": " << test << ", rel_err " << found.rel_err;
      }
    }
  }
}

std::vector<TestProblem> awkward_problems() {
  std::vector<TestProblem> tests = regular_problems();
  for (std::uint64_t seed = 0; seed < 60; ++seed) tests.push_back(random_problem(seed));
  // Few positions, of which several threads divide the channels: S with padding, without, and sorted by a stride.
  const auto few = [](Pair kernel, Pair stride) {
    const Conv2dProblem conv{.in_channels = 128, .height = 7, .width = 7, .out_channels = 40, .kernel = kernel, .stride = stride, .padding = {kernel[0] / 2, kernel[1] / 2}};
    return TestProblem{.problem = {conv, 16}, .seed = 7};
  };
  tests.insert(tests.end(), {few({3, 3}, {1, 1}), few({1, 1}, {1, 1}), few({3, 3}, {2, 2})});
  return tests;
}

TEST(FlatGather, ComputesTheSameWithEveryInstructionSet) {
  cpu::with_each_simd_target([] { check(awkward_problems(), cpu::simd_target()); });
}

TEST(FlatGather, ComputesTheSameWithAnyNumberOfThreads) {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3, 8}) {
    omp_set_num_threads(threads);
    check(awkward_problems(), std::to_string(threads) + " threads");
  }
  omp_set_num_threads(before);
}

TEST(FlatGather, ComputesLargeLayers) {
  const auto layer = [](const Conv2dProblem& conv, std::int64_t dictionary_size, double sparsity, Granularity granularity) {
    return TestProblem{.problem = {conv, dictionary_size, granularity}, .sparsity = sparsity, .seed = 7};
  };
  // In turn: columns of a dictionary in parts, several strips by columns, by channels and of filters, a dense P under strides, X
  // sorted in place of S, some taps as filters in several strips, all of them, with groups, none at a
  // single position, images that fill no group of batch_gather.
  check({layer({.in_channels = 16, .height = 27, .width = 27, .out_channels = 24, .kernel = {5, 5}, .padding = {2, 2}}, 500, 10, Granularity::vector),
         layer({.in_channels = 24, .height = 113, .width = 97, .out_channels = 9, .kernel = {3, 3}, .padding = {1, 1}}, 96, 2, Granularity::vector),
         layer({.in_channels = 24, .height = 113, .width = 97, .out_channels = 9, .kernel = {3, 3}, .padding = {1, 1}}, 96, 1, Granularity::vector),
         layer({.in_channels = 40, .height = 150, .width = 149, .out_channels = 9, .kernel = {3, 3}, .padding = {1, 1}}, 10, 1, Granularity::filter),
         layer({.in_channels = 3, .height = 60, .width = 63, .out_channels = 14, .kernel = {7, 7}, .stride = {2, 2}, .padding = {3, 3}}, 3, 1,
               Granularity::vector),
         layer({.in_channels = 8, .height = 61, .width = 57, .out_channels = 12, .kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}, 24, 2,
               Granularity::vector),
         layer({.in_channels = 60, .height = 113, .width = 97, .out_channels = 22, .kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}, 60, 2,
               Granularity::vector),
         layer({.batch = 3, .in_channels = 40, .height = 28, .width = 27, .out_channels = 58, .stride = {2, 2}, .groups = 2}, 120, 3, Granularity::vector),
         layer({.batch = 2, .in_channels = 40, .out_channels = 50}, 100, 3, Granularity::vector),
         layer({.batch = 37, .in_channels = 40, .height = 3, .width = 3, .out_channels = 50, .kernel = {3, 3}}, 64, 2, Granularity::vector)},
        "large layers");
}

}  // namespace
}  // namespace lcnn
