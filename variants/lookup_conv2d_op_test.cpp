#include "variants/lookup_conv2d_op.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>

#include "kernels/reference.h"
#include "kernels/test_problems.h"
#include "variants/gradient_check.h"
#include "variants/runtime.h"

namespace lcnn {
namespace {

// A test problem's tensors, and the operator called with them.
struct Layer {
  TestProblem test;
  torch::Tensor input, dictionary, offsets, indices, coefficients, bias;

  Layer(const TestProblem& problem, torch::TensorOptions options) : test(problem) {
    const LookupWeights weights = problem.weights(Precision::fp32);
    const Conv2dProblem& conv = problem.problem.conv;
    const Conv2dProblem stage = problem.problem.dictionary_stage();
    const auto floats = [&](const std::vector<float>& values, at::IntArrayRef sizes) {
      return torch::tensor(values, torch::kFloat).view(sizes).to(options);
    };
    const auto integers = [&](const auto& values) {
      return torch::tensor(std::vector<std::int64_t>(values.begin(), values.end()), torch::kLong)
          .to(options.dtype(torch::kInt));
    };
    input = floats(problem.input(Precision::fp32), {conv.batch, conv.in_channels, conv.height, conv.width});
    dictionary = floats(weights.dictionary,
                        {stage.out_channels, stage.in_channels_per_group(), stage.kernel[0], stage.kernel[1]});
    offsets = integers(weights.lookups.row_offsets);
    indices = integers(weights.lookups.indices);
    coefficients = floats(weights.lookups.coefficients, {weights.lookups.lookups()});
    if (conv.bias) bias = floats(weights.bias, {conv.out_channels});
  }

  torch::Tensor run() const {
    const Conv2dProblem& conv = test.problem.conv;
    return lookup_conv2d(input, dictionary, offsets, indices, coefficients,
                         bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt, conv.kernel, conv.stride,
                         conv.padding, conv.dilation, conv.groups);
  }

  std::vector<torch::Tensor> require_gradients() {
    std::vector<torch::Tensor> parameters{input, dictionary, coefficients};
    if (bias.defined()) parameters.push_back(bias);
    for (torch::Tensor& parameter : parameters) parameter.requires_grad_();
    return parameters;
  }
};

TestProblem small_problem(Granularity granularity = Granularity::vector) {
  const Conv2dProblem conv{.batch = 2, .in_channels = 4, .height = 7, .width = 6, .out_channels = 6, .kernel = {3, 2},
                           .padding = {1, 1}, .groups = 2};
  return {.problem = {conv, 6, granularity}, .sparsity = 1.5, .seed = 3};
}

std::string error_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return {};
}

class OnDevice : public testing::TestWithParam<at::DeviceType> {
 protected:
  void SetUp() override {
    if (GetParam() == at::kCUDA) {
      if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
    }
  }
  torch::TensorOptions options(torch::Dtype type) const { return torch::TensorOptions().dtype(type).device(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(LookupConv2dOp, OnDevice, testing::Values(at::kCPU, at::kCUDA),
                         [](const auto& info) { return at::DeviceTypeName(info.param, true); });

TEST_P(OnDevice, ComputesTheReference) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Layer layer(random_problem(seed), options(torch::kDouble));
    const torch::Tensor y = layer.run().cpu().contiguous();
    const std::vector<float> input = layer.test.input(Precision::fp32);
    const std::vector<double> reference = reference_lookup_conv2d(
        layer.test.problem, layer.test.weights(Precision::fp32), std::vector<double>(input.begin(), input.end()));
    const torch::Tensor expected = torch::tensor(reference, torch::kDouble).view(y.sizes());
    ASSERT_TRUE(torch::allclose(y, expected, 1e-11, 1e-12)) << layer.test;
  }
}

TEST_P(OnDevice, GradientsMatchDifferencesInDouble) {
  int checked = 0;
  for (std::uint64_t seed = 0; checked < 25; ++seed) {
    const TestProblem test = random_problem(seed);
    if (test.problem.conv.output_elements() > 4000) continue;
    Layer layer(test, options(torch::kDouble));
    const auto parameters = layer.require_gradients();
    ASSERT_EQ(gradient_difference([&] { return layer.run(); }, parameters, 8), "") << test;
    ++checked;
  }
}

TEST_P(OnDevice, LowerPrecisionsStayNearDouble) {
  for (const Granularity granularity : {Granularity::vector, Granularity::filter}) {
    Layer exact(small_problem(granularity), options(torch::kDouble));
    const auto parameters = exact.require_gradients();
    const auto expected = torch::autograd::grad({exact.run().square().sum()}, parameters);
    for (const auto& [type, tolerance] : {std::pair(torch::kFloat, 1e-5), {torch::kHalf, 1e-2}, {torch::kBFloat16, 8e-2}}) {
      Layer layer(small_problem(granularity), options(type));
      const auto stored = layer.require_gradients();
      const torch::Tensor y = layer.run();
      EXPECT_EQ(y.scalar_type(), type);
      const auto found = torch::autograd::grad({y.to(torch::kDouble).square().sum()}, stored);
      EXPECT_EQ(found.size(), 4u);
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(found[i].scalar_type(), type);
        EXPECT_LE(((found[i].to(torch::kDouble) - expected[i]).norm() / expected[i].norm()).item<double>(), tolerance)
            << type << " parameter " << i;
      }
    }
  }
}

TEST_P(OnDevice, OnlyWantedGradientsAreComputed) {
  Layer layer(small_problem(), options(torch::kFloat));
  layer.coefficients.requires_grad_();
  layer.run().sum().backward();
  EXPECT_TRUE(layer.coefficients.grad().defined());
  EXPECT_FALSE(layer.dictionary.grad().defined());
  EXPECT_FALSE(layer.input.grad().defined());
}

TEST_P(OnDevice, TakesChannelsLastInput) {
  Layer layer(small_problem(), options(torch::kFloat));
  const torch::Tensor expected = layer.run();
  layer.input = layer.input.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(torch::equal(layer.run(), expected));
}

TEST_P(OnDevice, DeterministicGradientsAreTheSameToTheBit) {
  TestProblem test = small_problem();
  test.problem.conv.height = test.problem.conv.width = 60;
  test.problem.conv.batch = 8;
  const bool before = at::globalContext().deterministicAlgorithms();
  at::globalContext().setDeterministicAlgorithms(true, false);
  Layer layer(test, options(torch::kFloat));
  const auto parameters = layer.require_gradients();
  const auto first = torch::autograd::grad({layer.run().square().sum()}, parameters);
  const auto second = torch::autograd::grad({layer.run().square().sum()}, parameters);
  at::globalContext().setDeterministicAlgorithms(before, false);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(torch::equal(first[i], second[i])) << "parameter " << i;
}

TEST_P(OnDevice, AutocastComputesInItsType) {
  const Layer layer(small_problem(), options(torch::kFloat));
  const torch::Tensor expected = layer.run();
  at::autocast::set_autocast_enabled(GetParam(), true);
  at::autocast::set_autocast_dtype(GetParam(), torch::kBFloat16);
  const torch::Tensor y = layer.run();
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(GetParam(), false);
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
  EXPECT_LE(((y.to(torch::kFloat) - expected).norm() / expected.norm()).item<double>(), 2e-2);
}

TEST_P(OnDevice, DoubleBackwardIsRefusedByName) {
  Layer layer(small_problem(), options(torch::kDouble));
  const auto parameters = layer.require_gradients();
  const auto gradients = torch::autograd::grad({layer.run().square().sum()}, parameters, {}, true, /*create_graph=*/true);
  ASSERT_TRUE(gradients[1].requires_grad());
  std::string message;
  try {
    gradients[1].sum().backward();
  } catch (const std::exception& error) {
    message = error.what();
  }
  EXPECT_EQ(message.substr(0, message.find('\n')),
            "lcnn::lookup_conv2d: double backward is not supported, its gradients cannot be differentiated");
}

TEST(LookupConv2dMeta, GivesShapesAndTypes) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const TestProblem test = random_problem(seed);
    Layer layer(test, torch::TensorOptions().dtype(torch::kHalf).device(torch::kMeta));
    const torch::Tensor y = layer.run();
    const Conv2dProblem& conv = test.problem.conv;
    ASSERT_EQ(y.sizes(), (std::vector<std::int64_t>{conv.batch, conv.out_channels, conv.out_height(), conv.out_width()}));
    ASSERT_EQ(y.scalar_type(), torch::kHalf);
    ASSERT_TRUE(y.is_meta());
  }
  Layer layer(small_problem(), torch::TensorOptions().dtype(torch::kFloat).device(torch::kMeta));
  const auto parameters = layer.require_gradients();
  const auto gradients = torch::autograd::grad({layer.run().sum()}, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) EXPECT_EQ(gradients[i].sizes(), parameters[i].sizes());
}

TEST(LookupConv2dErrors, NameWhatDoesNotFit) {
  const auto refusal = [](const std::function<void(Layer&)>& change) {
    Layer layer(small_problem(), torch::kFloat);
    change(layer);
    return error_of([&] { layer.run(); });
  };
  EXPECT_EQ(refusal([](Layer&) {}), "");
  EXPECT_EQ(refusal([](Layer& l) { l.input = l.input[0]; }),
            "lookup_conv2d: input has 3 dimensions: it must be [batch, in_channels, height, width]");
  EXPECT_EQ(refusal([](Layer& l) { l.dictionary = l.dictionary.view({6, 2}); }),
            "lookup_conv2d: dictionary has 2 dimensions: it must be [dictionary_size, in_channels / groups, height, width]");
  EXPECT_EQ(refusal([](Layer& l) { l.dictionary = torch::zeros({6, 3, 1, 1}); }),
            "lookup_conv2d: dictionary entries have 3 channels: input's 4 and groups 2 need 2");
  EXPECT_EQ(refusal([](Layer& l) { l.dictionary = torch::zeros({6, 2, 3, 3}); }),
            "lookup_conv2d: dictionary entries are 3x3: they must be 1x1 (granularity vector) or the kernel's 3x2 "
            "(granularity filter)");
  EXPECT_EQ(refusal([](Layer& l) { l.coefficients = l.coefficients.to(torch::kDouble); }),
            "lookup_conv2d: lookup_coefficients is Double and input is Float: they must be of one type");
  EXPECT_EQ(refusal([](Layer& l) { l.indices = l.indices.to(torch::kLong); }),
            "lookup_conv2d: lookup_indices is Long of 1 dimensions on cpu: it must be Int of 1 dimension on input's device");
  EXPECT_EQ(refusal([](Layer& l) { l.offsets = l.offsets.slice(0, 0, 9); }),
            "lookup_conv2d: lookup_offsets has 9 elements: it must have out_channels * 6 + 1");
  EXPECT_EQ(refusal([](Layer& l) { l.bias = torch::zeros({5}); }), "lookup_conv2d: bias is [5]: it must be [6]");
  EXPECT_EQ(refusal([](Layer& l) { l.test.problem.conv.stride = {0, 1}; }),
            "lookup_conv2d: stride height is 0: it must be at least 1");
  EXPECT_EQ(refusal([](Layer& l) { l.indices = torch::full_like(l.indices, 99); }),
            "lookup_conv2d: lookup index 99 at row 0 is outside its group's entries 0 to 2");
}

}  // namespace
}  // namespace lcnn
