// Every variant of the table, on every device that is there, against the float64 reference.
#include "variants/variant_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/simd_target.h"
#include "kernels/reference.h"
#include "kernels/test_problems.h"
#include "variants/runtime.h"
#include "variants/test_device.h"

namespace lcnn {
namespace {

// Random problems for each variant. LCNN_TEST_PROBLEMS lowers their number, for runs under tools that slow everything down.
std::uint64_t problem_count() {
  const char* wanted = std::getenv("LCNN_TEST_PROBLEMS");
  return wanted == nullptr ? 300 : std::stoull(wanted);
}

// What half an ulp at every store, and sums of some hundred terms, may cost; a wrong index costs about 1.
double tolerance(Precision precision) {
  switch (precision) {
    case Precision::fp32: return 2e-6;
    case Precision::tf32: return 2e-3;
    case Precision::fp16: return 2e-3;
    case Precision::bf16: return 1.6e-2;
  }
  return 0;
}

std::vector<double> reference_for(const Variant& variant, const TestProblem& test, const LookupWeights& weights,
                                  Precision precision) {
  const std::vector<float> input = test.input(precision);
  const std::vector<double> x(input.begin(), input.end());
  if (variant.computes == Computes::lookups) return reference_lookup_conv2d(test.problem, weights, x);
  DenseWeights dense = dense_weights(test.problem, weights, precision);
  if (variant.computes == Computes::pruned_2_4) dense = prune_2_4(test.problem.conv, std::move(dense));
  return reference_conv2d(test.problem.conv, x, dense.weight, dense.bias);
}

struct Case {
  const Variant* variant;
  Precision precision;
  Layout layout;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Variant* variant : variant_table()) {
    for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16}) {
      if (variant->device == Device::cpu && precision != Precision::fp32) continue;
      for (const Layout layout : {Layout::nchw, Layout::nhwc}) cases.push_back({variant, precision, layout});
    }
  }
  return cases;
}

// Precisions and layouts in which the variant computes an ordinary problem, and which of them a case is.
std::vector<std::pair<Precision, Layout>> supported(const Variant& variant) {
  std::vector<std::pair<Precision, Layout>> cases;
  for (const Case& other : all_cases()) {
    if (other.variant != &variant) continue;
    const LookupProblem problem = regular_problems().front().problem;
    if (variant.why_unsupported(problem, other.precision, other.layout).empty()) cases.emplace_back(other.precision, other.layout);
  }
  return cases;
}
std::uint64_t supported_cases(const Variant& variant) { return std::max<std::size_t>(supported(variant).size(), 1); }
std::uint64_t case_index(const Case& test_case) {
  const auto cases = supported(*test_case.variant);
  const auto found = std::ranges::find(cases, std::pair(test_case.precision, test_case.layout));
  return static_cast<std::uint64_t>(found - cases.begin());
}

std::string name_of(const Case& test_case) {
  const auto& [variant, precision, layout] = test_case;
  return std::string(to_string(variant->device)) + "_" + std::string(variant->name) + "_" +
         std::string(to_string(precision)) + "_" + std::string(to_string(layout));
}
void PrintTo(const Case& test_case, std::ostream* out) { *out << name_of(test_case); }

class EveryVariant : public testing::TestWithParam<Case> {};

TEST_P(EveryVariant, MatchesTheFloat64ReferenceOnRandomProblems) {
  const auto& [variant, precision, layout] = GetParam();
  if (variant->device == Device::cuda) {
    if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  }
  TestDevice device(variant->device, Tuning::none);
  // Kernels that are compiled or built for a problem take it in turns with their other precisions and layouts: each
  // variant still sees all of them.
  const bool built_for_a_problem = variant->device == Device::cuda && variant->name != "naive_sparse" && variant->name != "shared_tiled";
  const std::uint64_t turns = built_for_a_problem ? supported_cases(*variant) : 1, turn = case_index(GetParam()) % turns;
  std::vector<TestProblem> tests = regular_problems();
  const std::uint64_t problems = problem_count();
  for (std::uint64_t seed = turn; seed < problems; seed += turns) tests.push_back(random_problem(seed));
  int computed = 0;
  std::string reason;
  for (const TestProblem& test : tests) {
    if (reason = variant->why_unsupported(test.problem, precision, layout); !reason.empty()) continue;
    const LookupWeights weights = test.weights(precision);
    std::vector<float> y;
    try {
      y = device.run(*variant, test, weights, precision, layout);
    } catch (const Unsupported& unsupported) {
      reason = unsupported.what();
      continue;
    } catch (const std::runtime_error& error) {
      // Only a library may find out during preparation that it has no engine for a problem.
      ASSERT_NE(std::string(error.what()).find("cuDNN offers no"), std::string::npos) << error.what() << "\n" << test;
      continue;
    }
    const Comparison found = compare(y, reference_for(*variant, test, weights, precision));
    ASSERT_TRUE(found.rel_err <= tolerance(precision))
        << test << "\nrel_err " << found.rel_err << ", not finite: " << found.non_finite;
    ++computed;
  }
  if (computed == 0) GTEST_SKIP() << "supports none of them: " << reason;
  RecordProperty("problems", computed);
}

INSTANTIATE_TEST_SUITE_P(Table, EveryVariant, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return name_of(info.param); });

// Every candidate's result is only timed; the one that is taken is checked.
void check_tuned(Device kind, Precision precision) {
  TestDevice device(kind, Tuning::everything);
  const std::vector<TestProblem> tests = regular_problems();
  for (const std::size_t index : {0, 2}) {  // a vector and a filter dictionary
    const LookupWeights weights = tests[index].weights(precision);
    for (const Case& each : all_cases()) {
      if (each.variant->device != kind || each.precision != precision) continue;
      if (!each.variant->why_unsupported(tests[index].problem, precision, each.layout).empty()) continue;
      const std::vector<float> y = device.run(*each.variant, tests[index], weights, precision, each.layout);
      EXPECT_TRUE(compare(y, reference_for(*each.variant, tests[index], weights, precision)).rel_err <= tolerance(precision))
          << name_of(each) << " " << tests[index];
    }
  }
}

TEST(VariantTable, EveryCpuVariantComputesTheSameWhenTuned) { check_tuned(Device::cpu, Precision::fp32); }

TEST(VariantTable, EveryCudaVariantComputesTheSameWhenTuned) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  check_tuned(Device::cuda, Precision::fp16);
}

// The variants whose loops are compiled for every instruction set, on problems that are awkward and on layers with large tiles.
void check_flat_variants(TestDevice& device, const std::string& where) {
  std::vector<TestProblem> tests = regular_problems();
  for (std::uint64_t seed = 0; seed < 60; ++seed) tests.push_back(random_problem(seed));
  for (const TestProblem& test : tests) {
    const LookupWeights weights = test.weights(Precision::fp32);
    std::vector<double> reference;
    for (const Variant* variant : {&cpu::flat_gather, &cpu::batch_gather}) {
      if (!variant->why_unsupported(test.problem, Precision::fp32, Layout::nchw).empty()) continue;
      if (reference.empty()) reference = reference_for(*variant, test, weights, Precision::fp32);
      const std::vector<float> y = device.run(*variant, test, weights, Precision::fp32, Layout::nchw);
      EXPECT_TRUE(compare(y, reference).rel_err <= tolerance(Precision::fp32)) << variant->name << ", " << where << ": " << test;
    }
  }
}

TEST(VariantTable, FlatVariantsComputeTheSameWithEveryInstructionSet) {
  TestDevice device(Device::cpu, Tuning::none);
  cpu::with_each_simd_target([&] { check_flat_variants(device, cpu::simd_target()); });
}

TEST(VariantTable, FlatVariantsComputeTheSameWithAnyNumberOfThreads) {
  const int before = threads();
  for (const int count : {1, 3, 8}) {
    set_threads(count);
    TestDevice device(Device::cpu, Tuning::none);
    check_flat_variants(device, std::to_string(count) + " threads");
  }
  set_threads(before);
}

// Dictionaries large enough to be cut into parts, tiles of several strips, rows that fill no vector, batches that fill no group.
TEST(VariantTable, FlatVariantsComputeLargeLayers) {
  struct Large {
    Conv2dProblem conv;
    std::int64_t dictionary_size;
    double sparsity;
  };
  const std::vector<Large> layers{
      {{.in_channels = 16, .height = 27, .width = 27, .out_channels = 24, .kernel = {5, 5}, .padding = {2, 2}}, 500, 10},
      {{.in_channels = 24, .height = 113, .width = 97, .out_channels = 9, .kernel = {3, 3}, .padding = {1, 1}}, 96, 2},
      {{.in_channels = 3, .height = 60, .width = 63, .out_channels = 14, .kernel = {7, 7}, .stride = {2, 2}, .padding = {3, 3}}, 3, 1},
      {{.batch = 37, .in_channels = 40, .height = 3, .width = 3, .out_channels = 50, .kernel = {3, 3}}, 64, 2}};
  TestDevice device(Device::cpu, Tuning::none);
  for (const Large& layer : layers) {
    const TestProblem test{.problem = {layer.conv, layer.dictionary_size, Granularity::vector}, .sparsity = layer.sparsity, .seed = 7};
    const LookupWeights weights = test.weights(Precision::fp32);
    const std::vector<double> reference = reference_for(cpu::flat_gather, test, weights, Precision::fp32);
    for (const Variant* variant : {&cpu::flat_gather, &cpu::batch_gather}) {
      if (!variant->why_unsupported(test.problem, Precision::fp32, Layout::nchw).empty()) continue;
      const std::vector<float> y = device.run(*variant, test, weights, Precision::fp32, Layout::nchw);
      EXPECT_TRUE(compare(y, reference).rel_err <= tolerance(Precision::fp32)) << variant->name << " " << test;
    }
  }
}

TEST(VariantTable, NamesAreUniquePerDeviceAndEveryEntryIsComplete) {
  std::set<std::pair<Device, std::string_view>> names;
  for (const Variant* variant : variant_table()) {
    EXPECT_TRUE(names.insert({variant->device, variant->name}).second) << variant->name;
    EXPECT_NE(variant->why_unsupported, nullptr) << variant->name;
    EXPECT_NE(variant->prepare, nullptr) << variant->name;
  }
}

TEST(VariantTable, RefusesDictionariesBeyond16BitIndicesInOneSentence) {
  LookupProblem problem{.conv = {.in_channels = 1, .height = 2, .width = 2, .out_channels = 1}, .dictionary_size = 70000};
  for (const Variant* variant : variant_table()) {
    if (variant->kind != VariantKind::lookup || variant->device != Device::cpu) continue;
    EXPECT_NE(variant->why_unsupported(problem, Precision::fp32, Layout::nchw).find("70000"), std::string::npos);
  }
}

}  // namespace
}  // namespace lcnn
