// Every variant of the table, on every device that is there, against the float64 reference.
#include "variants/variant_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>

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
      if (variant->device == Device::cpu && precision != Precision::fp32 && precision != Precision::bf16) continue;
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

TEST(VariantTable, EveryCpuVariantComputesTheSameWhenTuned) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) check_tuned(Device::cpu, precision);
}

TEST(VariantTable, EveryCudaVariantComputesTheSameWhenTuned) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  check_tuned(Device::cuda, Precision::fp16);
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
    if (variant->name == kDenseVariant || variant->name == kAutoVariant) continue;  // filters have no indices
    EXPECT_NE(variant->why_unsupported(problem, Precision::fp32, Layout::nchw).find("70000"), std::string::npos);
  }
}

}  // namespace
}  // namespace lcnn
