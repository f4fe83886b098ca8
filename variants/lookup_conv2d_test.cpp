#include "variants/lookup_conv2d.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <sstream>
#include <stdexcept>
#include <string>

#include "kernels/reference.h"
#include "variants/gradient_check.h"
#include "variants/runtime.h"

namespace lcnn {
namespace {

// Conv2d with the weights that the layer's D and P stand for (paper eq. 1), and the same options.
torch::nn::Conv2d equivalent_conv2d(const LookupConv2d& layer) {
  const LookupConv2dOptions& options = layer->options;
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(options.in_channels(), options.out_channels(), options.kernel_size())
                             .stride(options.stride())
                             .padding(options.padding())
                             .dilation(options.dilation())
                             .groups(options.groups())
                             .bias(options.bias())
                             .padding_mode(options.padding_mode()));
  LookupProblem problem{.conv = {.in_channels = options.in_channels(), .out_channels = options.out_channels(),
                                 .kernel = {(*options.kernel_size())[0], (*options.kernel_size())[1]},
                                 .groups = options.groups(), .bias = options.bias()},
                        .dictionary_size = options.dictionary_size(), .granularity = options.granularity()};
  const DenseWeights dense = dense_weights(problem, layer->weights(), Precision::fp32);
  const torch::NoGradGuard no_grad;
  conv->to(layer->dictionary.scalar_type());
  conv->weight.copy_(torch::tensor(dense.weight).view(conv->weight.sizes()));
  if (options.bias()) conv->bias.copy_(layer->bias);
  return conv;
}

struct Configuration {
  const char* name;
  LookupConv2dOptions options;
};

std::vector<Configuration> configurations() {
  const auto base = [] { return LookupConv2dOptions(4, 6, {3, 2}, 6); };
  return {{"defaults", base()},
          {"padding", base().padding({2, 1}).stride({2, 1})},
          {"dilation", base().dilation({1, 2}).padding(1)},
          {"groups", base().groups(2).padding(1)},
          {"no bias", base().bias(false)},
          {"valid", base().padding(torch::kValid)},
          {"same", base().padding(torch::kSame).dilation({1, 3})},
          {"reflect", base().padding({2, 1}).padding_mode(torch::kReflect)},
          {"replicate", base().padding({2, 1}).padding_mode(torch::kReplicate).stride(2)},
          {"circular", base().padding({2, 1}).padding_mode(torch::kCircular)},
          // Square: LibTorch's C++ Conv2d swaps the sides of 'same' padding with other modes, Python's does not.
          {"same circular", base().kernel_size(2).padding(torch::kSame).padding_mode(torch::kCircular)}};
}

// Every configuration with both methods, granularities and evaluations.
template <typename Function>
void for_every_layer(const Function& function) {
  for (const Configuration& configuration : configurations()) {
    for (const LookupMethod method : {LookupMethod::pooled, LookupMethod::fixed}) {
      for (const Granularity granularity : {Granularity::vector, Granularity::filter}) {
        for (const LookupEvaluation evaluation : {LookupEvaluation::stages, LookupEvaluation::filters}) {
          SCOPED_TRACE(std::string(configuration.name) + ' ' + std::string(to_string(granularity)) + ' ' +
                       (method == LookupMethod::pooled ? "pooled" : "fixed") +
                       (evaluation == LookupEvaluation::filters ? " by filters" : " by stages"));
          torch::manual_seed(11);
          LookupConv2dOptions options = configuration.options;
          function(LookupConv2d(options.method(method).granularity(granularity).sparsity(2).evaluation(evaluation)));
        }
      }
    }
  }
}

torch::Tensor input_of(torch::Dtype type = torch::kFloat) { return torch::randn({2, 4, 7, 6}, type); }

std::string error_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

TEST(LookupConv2d, EqualsConv2dWithItsWeightsForEveryOption) {
  for_every_layer([](LookupConv2d layer) {
    torch::nn::Conv2d conv = equivalent_conv2d(layer);
    const torch::Tensor x = input_of();
    const torch::Tensor y = layer(x), expected = conv(x);
    ASSERT_EQ(y.sizes(), expected.sizes());
    EXPECT_TRUE(torch::allclose(y, expected, 1e-4, 1e-5)) << (y - expected).abs().max().item<float>();
    EXPECT_TRUE(torch::allclose(layer(x[0]), expected[0], 1e-4, 1e-5));
  });
}

void check_gradients(torch::Device device) {
  for_every_layer([&](LookupConv2d layer) {
    layer->to(device, torch::kDouble);
    const torch::Tensor x = input_of(torch::kDouble).to(device).requires_grad_();
    {
      // Away from the threshold, where P has a derivative.
      const torch::NoGradGuard no_grad;
      if (layer->lookup_weight.defined()) {
        const torch::Tensor near = (layer->lookup_weight.abs() - layer->sparse_th()).abs().lt(1e-4);
        layer->lookup_weight.masked_fill_(near, 0.0);
      }
    }
    std::vector<torch::Tensor> parameters = layer->parameters();
    parameters.push_back(x);
    EXPECT_EQ(gradient_difference([&] { return layer(x) + layer->sparsity_loss(); }, parameters, 6), "");
  });
}

TEST(LookupConv2d, GradientsMatchDifferencesOnTheCpu) { check_gradients(torch::kCPU); }

TEST(LookupConv2d, GradientsMatchDifferencesOnCuda) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  check_gradients(torch::kCUDA);
}

TEST(LookupConv2d, EntriesBelowTheThresholdAreZeroAndGetNoGradient) {
  LookupConv2d layer(LookupConv2dOptions(4, 8, 3, 10).initial_sparsity(0.6));
  EXPECT_DOUBLE_EQ(layer->sparse_th(), 0.6 / std::sqrt(90.0));
  (layer(torch::randn({2, 4, 9, 9})).square().sum() + 0.1 * layer->sparsity_loss()).backward();
  const torch::Tensor below = layer->lookup_weight.abs().le(layer->sparse_th());
  EXPECT_NEAR(below.to(torch::kDouble).mean().item<double>(), 0.6, 0.06);
  EXPECT_TRUE(layer->lookup_weight.grad().masked_select(below).eq(0).all().item<bool>());
  EXPECT_TRUE(layer->lookup_weight.grad().masked_select(below.logical_not()).ne(0).all().item<bool>());
  EXPECT_EQ(layer->lookups().indices.numel(), below.numel() - below.sum().item<std::int64_t>());
}

TEST(LookupConv2d, SparsityLossPullsPDown) {
  LookupConv2d layer(LookupConv2dOptions(4, 8, 3, 10));
  const torch::Tensor kept = layer->lookup_weight.masked_select(layer->lookup_weight.abs().gt(layer->sparse_th()));
  EXPECT_NEAR(layer->sparsity_loss().item<double>(), layer->sparse_th() * kept.abs().sum().item<double>(), 1e-4);
  torch::optim::SGD optimizer(layer->parameters(), 1.0);
  const std::int64_t before = layer->lookups().indices.numel();
  for (int step = 0; step < 10; ++step) {
    optimizer.zero_grad();
    (layer->sparsity_loss() * 0.1).backward();
    optimizer.step();
  }
  EXPECT_LT(layer->lookups().indices.numel(), before);
}

TEST(LookupConv2d, ConversionKeepsTheFunctionAndGoesBackWithoutLoss) {
  for_every_layer([](LookupConv2d layer) {
    if (layer->options.method() == LookupMethod::fixed) return;
    for (const torch::Dtype type : {torch::kFloat, torch::kDouble}) {
      layer->to(type);
      const torch::Tensor x = input_of(type);
      LookupConv2d fixed = converted(layer, LookupMethod::fixed);
      EXPECT_EQ(fixed->dictionary.scalar_type(), type);
      EXPECT_TRUE(torch::allclose(fixed(x), layer(x), 1e-4, 1e-5));
      LookupConv2d back = converted(fixed, LookupMethod::pooled);
      EXPECT_TRUE(torch::equal(back(x), layer(x)));
      const LookupTensors before = layer->lookups(), after = converted(back, LookupMethod::fixed)->lookups();
      EXPECT_TRUE(torch::equal(before.offsets, after.offsets) && torch::equal(before.indices, after.indices) &&
                  torch::equal(before.coefficients, after.coefficients));
    }
  });
}

TEST(LookupConv2d, WeightsComputeTheSameInTheReference) {
  for (const Granularity granularity : {Granularity::vector, Granularity::filter}) {
    LookupConv2d layer(LookupConv2dOptions(4, 6, 3, 6).groups(2).padding(1).granularity(granularity));
    const torch::Tensor x = input_of();
    const LookupProblem problem = layer->problem(2, 7, 6);
    const LookupWeights weights = layer->weights();
    ASSERT_NO_THROW(validate(weights.lookups, problem));
    const std::vector<double> input(x.const_data_ptr<float>(), x.const_data_ptr<float>() + x.numel());
    const torch::Tensor expected = torch::tensor(reference_lookup_conv2d(problem, weights, input), torch::kFloat);
    EXPECT_TRUE(torch::allclose(layer(x).reshape(-1), expected, 1e-4, 1e-5));
  }
}

TEST(LookupConv2d, PruneKeepsTheLargestCoefficientsWithTheirIndices) {
  LookupConv2d layer(LookupConv2dOptions(4, 2, 1, 5).method(LookupMethod::fixed).sparsity(0));
  layer->set_lookups({torch::tensor({0, 4, 5}, torch::kInt), torch::tensor({0, 1, 3, 4, 2}, torch::kInt),
                      torch::tensor({0.1f, -0.9f, 0.5f, -0.2f, 0.01f})});
  layer->prune(2);
  const LookupTensors kept = layer->lookups();
  EXPECT_TRUE(torch::equal(kept.offsets, torch::tensor({0, 2, 3}, torch::kInt)));
  EXPECT_TRUE(torch::equal(kept.indices, torch::tensor({1, 3, 2}, torch::kInt)));
  EXPECT_TRUE(torch::equal(kept.coefficients, torch::tensor({-0.9f, 0.5f, 0.01f})));
  EXPECT_EQ(layer(torch::randn({1, 4, 3, 3})).size(1), 2);
  layer->prune(0);
  EXPECT_EQ(layer->lookups().indices.numel(), 0);
  EXPECT_TRUE(torch::allclose(layer(torch::randn({1, 4, 3, 3}))[0][1], layer->bias[1].expand({3, 3})));
}

// The layer keeps its lookups in a second order, for gradients: it has to be that of the lookups that are there.
TEST(LookupConv2d, GradientsByFiltersFollowChangesOfTheLookups) {
  LookupConv2d layer(LookupConv2dOptions(4, 6, 3, 6).method(LookupMethod::fixed).sparsity(3).evaluation(LookupEvaluation::filters));
  layer->to(torch::kDouble);
  const torch::Tensor x = input_of(torch::kDouble);
  const auto gradient_by = [&](LookupEvaluation evaluation) {
    layer->options.evaluation(evaluation);
    return torch::autograd::grad({layer(x).square().sum()}, {layer->dictionary})[0];
  };
  const auto expect_same = [&](const char* after) {
    const torch::Tensor found = gradient_by(LookupEvaluation::filters), expected = gradient_by(LookupEvaluation::stages);
    EXPECT_TRUE(torch::allclose(found, expected)) << after;
  };
  expect_same("the start");
  layer->prune(2);
  expect_same("pruning");
  layer->lookup_indices.copy_(5 - layer->lookup_indices);
  expect_same("a change in place");
}

TEST(LookupConv2d, StateGoesThroughArchives) {
  for_every_layer([](LookupConv2d layer) {
    if (layer->options.method() == LookupMethod::fixed) layer->prune(1);
    std::stringstream stream;
    torch::save(layer, stream);
    torch::manual_seed(99);
    LookupConv2d read(layer->options);
    torch::load(read, stream);
    const torch::Tensor x = input_of();
    EXPECT_TRUE(torch::equal(read(x), layer(x)));
    const auto copy = std::dynamic_pointer_cast<LookupConv2dImpl>(layer->clone());
    EXPECT_TRUE(torch::equal(copy->forward(x), layer(x)));
  });
}

TEST(LookupConv2d, LoadRefusesAnotherLayersState) {
  std::stringstream stream;
  torch::save(LookupConv2d(LookupConv2dOptions(4, 6, 3, 6)), stream);
  LookupConv2d other(LookupConv2dOptions(4, 6, 3, 7));
  EXPECT_EQ(error_of([&] { torch::load(other, stream); }),
            "LookupConv2d: dictionary was read as [6, 4, 1, 1]: this layer's is [7, 4, 1, 1]");
  std::stringstream lookups;
  torch::save(LookupConv2d(LookupConv2dOptions(4, 6, 3, 6).method(LookupMethod::fixed)), lookups);
  LookupConv2d narrower(LookupConv2dOptions(4, 6, 1, 6).method(LookupMethod::fixed));
  EXPECT_EQ(error_of([&] { torch::load(narrower, lookups); }), "LookupConv2d: lookup_offsets has 55 elements: this layer's has 7");
}

TEST(LookupConv2d, HoldsWhatIsNotTrained) {
  for_every_layer([](LookupConv2d layer) {
    LookupConv2d held(LookupConv2dOptions(layer->options).train_dictionary(false).train_lookups(false).bias(true));
    held(input_of()).sum().backward();
    EXPECT_FALSE(held->dictionary.requires_grad());
    for (const auto& parameter : held->named_parameters()) {
      EXPECT_EQ(parameter.value().grad().defined(), parameter.key() == "bias") << parameter.key();
    }
  });
}

TEST(LookupConv2d, TypeChangesLeaveIntegersAlone) {
  LookupConv2d layer(LookupConv2dOptions(4, 6, 3, 6).method(LookupMethod::fixed));
  torch::nn::Sequential model(layer);
  const torch::Tensor indices = layer->lookup_indices.clone();
  model->to(torch::kHalf);
  EXPECT_EQ(layer->lookup_indices.scalar_type(), torch::kInt);
  EXPECT_TRUE(torch::equal(layer->lookup_indices, indices));
  EXPECT_EQ(layer->lookup_coefficients.scalar_type(), torch::kHalf);
  model->to(torch::kCPU, torch::kDouble);
  EXPECT_EQ(model->forward(input_of(torch::kDouble)).scalar_type(), torch::kDouble);
}

TEST(LookupConv2d, AutocastGivesItsTypeForBothMethods) {
  for (const LookupMethod method : {LookupMethod::pooled, LookupMethod::fixed}) {
    for (const LookupEvaluation evaluation : {LookupEvaluation::stages, LookupEvaluation::filters}) {
      LookupConv2d layer(LookupConv2dOptions(4, 6, 3, 6).method(method).evaluation(evaluation));
      at::autocast::set_autocast_enabled(at::kCPU, true);
      const torch::Tensor y = layer(input_of());
      at::autocast::clear_cache();
      at::autocast::set_autocast_enabled(at::kCPU, false);
      EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
      y.sum().backward();
      EXPECT_EQ(layer->dictionary.grad().scalar_type(), torch::kFloat);
    }
  }
}

// Images that lie channels last get filters that do, and planes planes: a convolution would copy what lies otherwise.
TEST(LookupConv2d, OutputsByFiltersLieAsTheInputDoes) {
  for (const LookupMethod method : {LookupMethod::pooled, LookupMethod::fixed}) {
    LookupConv2d layer(LookupConv2dOptions(4, 6, 3, 6).method(method).evaluation(LookupEvaluation::filters));
    EXPECT_TRUE(layer(input_of()).is_contiguous());
    EXPECT_TRUE(layer(input_of().contiguous(torch::MemoryFormat::ChannelsLast)).is_contiguous(torch::MemoryFormat::ChannelsLast));
  }
}

TEST(LookupConv2d, StartsWithConv2dsVariance) {
  for (const LookupMethod method : {LookupMethod::pooled, LookupMethod::fixed}) {
    torch::manual_seed(5);
    LookupConv2d layer(LookupConv2dOptions(64, 64, 3, 32).method(method).sparsity(2).initial_sparsity(0.2));
    torch::nn::Conv2d conv(torch::nn::Conv2dOptions(64, 64, 3));
    const torch::Tensor x = torch::randn({4, 64, 16, 16});
    EXPECT_NEAR((layer(x).std() / conv(x).std()).item<double>(), 1.0, 0.15);
  }
}

TEST(LookupConv2d, BadOptionsGiveOneClearLine) {
  const auto refusal = [](const LookupConv2dOptions& options) { return error_of([&] { LookupConv2d layer(options); }); };
  const auto base = [] { return LookupConv2dOptions(4, 6, 3, 6); };
  EXPECT_EQ(refusal(base()), "");
  EXPECT_EQ(refusal(base().in_channels(0)), "LookupConv2d: in_channels is 0: it must be at least 1");
  EXPECT_EQ(refusal(base().kernel_size({0, 3})), "LookupConv2d: kernel height is 0: it must be at least 1");
  EXPECT_EQ(refusal(base().stride(0)), "LookupConv2d: stride height is 0: it must be at least 1");
  EXPECT_EQ(refusal(base().dilation({1, 0})), "LookupConv2d: dilation width is 0: it must be at least 1");
  EXPECT_EQ(refusal(base().padding({-1, 0})), "LookupConv2d: padding is negative: it must be at least 0");
  EXPECT_EQ(refusal(base().padding(torch::kSame).stride(2)),
            "LookupConv2d: padding is 'same' with a stride above 1: it must be numbers then");
  EXPECT_EQ(refusal(base().groups(3)), "LookupConv2d: groups 3 does not divide in_channels 4");
  EXPECT_EQ(refusal(base().groups(2).dictionary_size(5)), "LookupConv2d: groups 2 does not divide dictionary_size 5");
  EXPECT_EQ(refusal(base().dictionary_size(0)), "LookupConv2d: dictionary_size is 0: it must be at least 1");
  EXPECT_EQ(refusal(base().initial_sparsity(1.0)),
            "LookupConv2d: initial_sparsity is 1.000000: it must be at least 0 and below 1");
  EXPECT_EQ(refusal(base().sparsity(7)), "LookupConv2d: sparsity is 7: it must be 0 to dictionary_size / groups = 6");
}

TEST(LookupConv2d, BadUseGivesOneClearLine) {
  LookupConv2d pooled(LookupConv2dOptions(4, 6, 3, 6)), fixed(LookupConv2dOptions(4, 6, 1, 6).method(LookupMethod::fixed));
  EXPECT_EQ(error_of([&] { pooled(torch::randn({4, 4})); }),
            "LookupConv2d: input has 2 dimensions: it must be [batch, in_channels, height, width] or [in_channels, height, width]");
  EXPECT_EQ(error_of([&] { pooled(torch::randn({1, 3, 5, 5})); }), "LookupConv2d: input has 3 channels: this layer takes 4");
  EXPECT_EQ(error_of([&] { pooled->prune(1); }), "LookupConv2d: prune is for method fixed: pooled prunes by its threshold");
  EXPECT_EQ(error_of([&] { fixed->prune(-1); }), "LookupConv2d: prune to -1 lookups: it must be at least 0");
  EXPECT_EQ(error_of([&] { fixed->set_lookups({torch::tensor({0, 1}), torch::tensor({0}), torch::tensor({1.0f})}); }),
            "LookupConv2d: lookup_offsets has 2 elements: this layer's has 7");
  fixed->set_lookups({torch::tensor({0, 1, 1, 1, 1, 1, 1}), torch::tensor({0}), torch::tensor({0.01f})});
  EXPECT_EQ(error_of([&] { converted(fixed, LookupMethod::pooled); }),
            "LookupConv2d: 1 coefficients are at or below sparse_th = 0.204124 and would count as zero: lower initial_sparsity, "
            "or prune first");
  LookupConv2d reflect(LookupConv2dOptions(4, 6, 3, 6).padding(1).padding_mode(torch::kReflect));
  EXPECT_EQ(error_of([&] { reflect->problem(1, 5, 5); }),
            "LookupConv2d: padding that is not zeros, the same on both sides, is no part of a problem: pad the input first");
}

}  // namespace
}  // namespace lcnn
