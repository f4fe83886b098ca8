#include "variants/lookup_filters_op.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>

#include "variants/gradient_check.h"
#include "variants/runtime.h"

namespace lcnn {
namespace {

// P [5, 4] with a row of none, one of one and rows of two lookups, over D [4, 6].
struct Filters {
  torch::Tensor dictionary, offsets, indices, coefficients;
  LookupsByEntry by_entry;

  explicit Filters(torch::TensorOptions options) {
    torch::manual_seed(5);
    const auto integers = options.dtype(torch::kInt);
    dictionary = torch::randn({4, 6}).to(options);
    offsets = torch::tensor({0, 2, 2, 3, 5, 7}, torch::kInt).to(integers);
    indices = torch::tensor({0, 3, 2, 1, 2, 3, 0}, torch::kInt).to(integers);
    coefficients = torch::randn({7}).to(options);
    by_entry = {torch::tensor({0, 2, 3, 5, 7}, torch::kInt).to(integers), torch::tensor({0, 4, 3, 2, 3, 0, 4}, torch::kInt).to(integers),
                torch::tensor({0, 6, 3, 2, 4, 1, 5}, torch::kInt).to(integers)};
  }

  torch::Tensor run(std::optional<torch::Dtype> type = std::nullopt) const {
    return lookup_filters(dictionary, offsets, indices, coefficients, by_entry, type);
  }
  torch::Tensor dense() const {
    torch::Tensor p = torch::zeros({5, 4}, coefficients.options());
    const torch::Tensor rows = torch::tensor({0, 0, 2, 3, 3, 4, 4}, torch::kLong).to(p.device());
    return p.index_put({rows, indices.to(torch::kLong)}, coefficients).matmul(dictionary);
  }
  std::vector<torch::Tensor> require_gradients() { return {dictionary.requires_grad_(), coefficients.requires_grad_()}; }
};

std::string error_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const std::exception& error) {
    const std::string message = error.what();
    return message.substr(0, message.find('\n'));
  }
  return {};
}

class FiltersOnDevice : public testing::TestWithParam<at::DeviceType> {
 protected:
  void SetUp() override {
    if (GetParam() == at::kCUDA) {
      if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
    }
  }
  torch::TensorOptions options(torch::Dtype type) const { return torch::TensorOptions().dtype(type).device(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(LookupFilters, FiltersOnDevice, testing::Values(at::kCPU, at::kCUDA),
                         [](const auto& info) { return at::DeviceTypeName(info.param, true); });

TEST_P(FiltersOnDevice, AreTheProductOfPAndD) {
  for (const auto& [type, tolerance] : {std::pair(torch::kDouble, 1e-14), {torch::kFloat, 1e-6}, {torch::kHalf, 2e-3}, {torch::kBFloat16, 2e-2}}) {
    const Filters filters(options(type));
    const torch::Tensor found = filters.run(), expected = filters.dense();
    ASSERT_EQ(found.scalar_type(), type);
    EXPECT_LE(((found - expected).to(torch::kDouble).norm() / expected.to(torch::kDouble).norm()).item<double>(), tolerance) << type;
  }
}

TEST_P(FiltersOnDevice, LookupsByEntryAreInTheOrderOfTheTable) {
  const Filters filters(options(torch::kFloat));
  const auto [offsets, rows, order] = lookups_by_entry(filters.offsets, filters.indices, 4);
  EXPECT_TRUE(torch::equal(offsets, std::get<0>(filters.by_entry)));
  EXPECT_TRUE(torch::equal(rows, std::get<1>(filters.by_entry)));
  EXPECT_TRUE(torch::equal(order, std::get<2>(filters.by_entry)));
  EXPECT_EQ(offsets.scalar_type(), torch::kInt);
}

// Filters for a convolution in 16 bits, of parameters that are trained in float.
TEST_P(FiltersOnDevice, OfFloatInSixteenBitsAreRoundedOnce) {
  for (const torch::Dtype type : {torch::kHalf, torch::kBFloat16}) {
    Filters filters(options(torch::kFloat));
    const auto parameters = filters.require_gradients();
    const torch::Tensor w = filters.run(type), expected = filters.dense(), direction = torch::randn({5, 6}).to(type).to(GetParam());
    ASSERT_EQ(w.scalar_type(), type);
    EXPECT_TRUE(torch::allclose(w, expected.to(type), 1e-2, 1e-6));
    const auto found = torch::autograd::grad({w}, parameters, {direction});
    const auto exact = torch::autograd::grad({expected}, parameters, {direction.to(torch::kFloat)});
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].scalar_type(), torch::kFloat);
      EXPECT_TRUE(torch::allclose(found[i], exact[i], 1e-5, 1e-5)) << type << " parameter " << i;
    }
  }
}

TEST_P(FiltersOnDevice, GradientsMatchDifferencesInDouble) {
  Filters filters(options(torch::kDouble));
  const auto parameters = filters.require_gradients();
  EXPECT_EQ(gradient_difference([&] { return filters.run().square(); }, parameters), "");
}

// A dictionary and gradients that begin in the middle of an allocation.
TEST_P(FiltersOnDevice, TakeTensorsThatAreNotAligned) {
  Filters filters(options(torch::kFloat));
  filters.dictionary = torch::randn({4 * 8 + 1}).to(options(torch::kFloat)).slice(0, 1).view({4, 8});
  EXPECT_TRUE(torch::allclose(filters.run(), filters.dense(), 1e-6, 1e-6));
}

TEST_P(FiltersOnDevice, AreMadeWhereOnlyDeterministicAlgorithmsAreAllowed) {
  const bool before = at::globalContext().deterministicAlgorithms();
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  Filters filters(options(torch::kFloat));
  const auto parameters = filters.require_gradients();
  filters.by_entry = lookups_by_entry(filters.offsets, filters.indices, 4);
  const auto first = torch::autograd::grad({filters.run().square().sum()}, parameters);
  const auto second = torch::autograd::grad({filters.run().square().sum()}, parameters);
  at::globalContext().setDeterministicAlgorithms(before, false);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(torch::equal(first[i], second[i])) << "parameter " << i;
}

TEST_P(FiltersOnDevice, OnlyWantedGradientsAreComputed) {
  Filters filters(options(torch::kFloat));
  filters.coefficients.requires_grad_();
  filters.run().sum().backward();
  EXPECT_TRUE(filters.coefficients.grad().defined());
  EXPECT_FALSE(filters.dictionary.grad().defined());
}

TEST_P(FiltersOnDevice, AutocastComputesInItsType) {
  const Filters filters(options(torch::kFloat));
  at::autocast::set_autocast_enabled(GetParam(), true);
  at::autocast::set_autocast_dtype(GetParam(), torch::kBFloat16);
  const torch::Tensor w = filters.run();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(GetParam(), false);
  EXPECT_EQ(w.scalar_type(), torch::kBFloat16);
}

TEST_P(FiltersOnDevice, DoubleBackwardIsRefusedByName) {
  Filters filters(options(torch::kDouble));
  const auto gradients = torch::autograd::grad({filters.run().square().sum()}, filters.require_gradients(), {}, true, /*create_graph=*/true);
  EXPECT_EQ(error_of([&] { gradients[0].sum().backward(); }),
            "lcnn::lookup_filters: double backward is not supported, its gradients cannot be differentiated");
}

TEST(LookupFiltersMeta, GivesShapesAndTypes) {
  Filters filters(torch::TensorOptions().dtype(torch::kHalf).device(torch::kMeta));
  const auto parameters = filters.require_gradients();
  const torch::Tensor w = filters.run();
  EXPECT_EQ(w.sizes(), (std::vector<std::int64_t>{5, 6}));
  EXPECT_EQ(w.scalar_type(), torch::kHalf);
  const auto gradients = torch::autograd::grad({w.sum()}, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) EXPECT_EQ(gradients[i].sizes(), parameters[i].sizes());
}

TEST(LookupFiltersErrors, NameWhatDoesNotFit) {
  const Filters good(torch::kFloat);
  const auto with = [&](const std::function<void(Filters&)>& change) {
    Filters filters = good;
    change(filters);
    return error_of([&] { filters.run(); });
  };
  EXPECT_EQ(with([](Filters& f) { f.dictionary = f.dictionary.view({2, 2, 6}); }),
            "lookup_filters: dictionary has 3 dimensions: it must be [dictionary_size, columns]");
  EXPECT_EQ(with([](Filters& f) { f.coefficients = f.coefficients.to(torch::kDouble); }),
            "lookup_filters: lookup_coefficients is Double on cpu and dictionary Float on cpu: they must be of one type on one device");
  EXPECT_EQ(with([](Filters& f) { f.indices = f.indices.to(torch::kLong); }),
            "lookup_filters: lookup_indices is Long of 1 dimensions on cpu: it must be Int of 1 dimension on dictionary's device");
  EXPECT_EQ(with([](Filters& f) { f.coefficients = f.coefficients.slice(0, 1); }),
            "lookup_filters: lookup_coefficients is [6]: it must be [7], as lookup_indices");
  EXPECT_EQ(with([](Filters& f) { std::get<1>(f.by_entry) = std::get<1>(f.by_entry).slice(0, 1); }),
            "lookup_filters: entry_rows has 6 elements: it must have 7, as lookup_indices");
  EXPECT_EQ(error_of([&] { good.run(torch::kDouble); }),
            "lookup_filters: dtype is Double of a dictionary in Float: its own is accepted, and Half and BFloat16 of Float");
  EXPECT_EQ(with([](Filters& f) { f.indices = f.indices + 1; }).substr(0, 29), "lookup_filters: lookup index ");
}

}  // namespace
}  // namespace lcnn
