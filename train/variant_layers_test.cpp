#include "train/variant_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <functional>
#include <stdexcept>

namespace lcnn::train {
namespace {

using testing::HasSubstr;

std::string why_not_strided(const LookupProblem& problem, Precision, Layout) {
  return problem.conv.stride == Pair{1, 1} ? "" : "strides are not supported";
}
std::string never(const LookupProblem&, Precision, Layout) { return "nothing is supported"; }

// What the network computes when `variant` computes it as far as it can, and what its layers say then.
struct Evaluated {
  torch::Tensor outputs;
  std::vector<LayerChoice> choices;
};

class VariantLayersTest : public testing::Test {
 protected:
  VariantLayersTest() {
    torch::manual_seed(5);
    model_ = make_model({.model = "resnet20", .shape = {1, 16, 16}, .classes = 10, .convolution = ConvolutionKind::fixed,
                         .dictionary_sizes = find_model("resnet20")->fast, .sparsity = 2});
    model_->eval();
    images_ = torch::randn({2, 1, 16, 16});
  }
  Evaluated evaluate(const Variant& variant, const Variant& fallback) {
    const torch::NoGradGuard no_grad;
    VariantLayers layers(*model_, variant, fallback);
    torch::Tensor outputs = model_->forward(images_);
    return {.outputs = outputs, .choices = layers.choices()};
  }
  const Variant& auto_variant() const { return variant_named("auto", Device::cpu); }

  std::shared_ptr<Model> model_;
  torch::Tensor images_;
};

TEST_F(VariantLayersTest, WhatAVariantDoesNotSupportIsComputedByTheFallback) {
  const Evaluated expected = evaluate(auto_variant(), auto_variant());
  for (const LayerChoice& layer : expected.choices) EXPECT_EQ(layer.fallback, "") << layer.name;

  Variant unstrided = variant_named("naive_sparse", Device::cpu);
  unstrided.why_unsupported = why_not_strided;
  Variant unprepared = unstrided;
  unprepared.why_unsupported = auto_variant().why_unsupported;
  static const auto kPrepare = unstrided.prepare;
  unprepared.prepare = [](const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout, const Execution& execution) {
    if (const std::string why = why_not_strided(problem, precision, layout); !why.empty()) throw Unsupported(why);
    return kPrepare(problem, weights, precision, layout, execution);
  };
  for (const Variant& variant : {unstrided, unprepared}) {
    const Evaluated found = evaluate(variant, auto_variant());
    EXPECT_LE((found.outputs - expected.outputs).abs().max().item<double>(), 1e-5);
    std::vector<std::string> fell_back;
    for (const LayerChoice& layer : found.choices) {
      if (layer.fallback.empty()) continue;
      EXPECT_EQ(layer.fallback, "strides are not supported");
      fell_back.push_back(layer.name);
    }
    EXPECT_THAT(fell_back, testing::ElementsAre("stage2_block1_conv1", "stage3_block1_conv1"));
  }
}

TEST_F(VariantLayersTest, FoldedNormalizationsGiveTheSameOutputs) {
  const torch::NoGradGuard no_grad;
  for (const torch::Tensor& buffer : model_->buffers()) {
    if (buffer.is_floating_point()) buffer.uniform_(0.5, 2);  // means and variances
  }
  const torch::Tensor expected = model_->forward(images_);
  model_->fold_normalizations();
  EXPECT_LE((model_->forward(images_) - expected).abs().max().item<double>(), 1e-4 * expected.abs().max().item<double>());
  EXPECT_LE((evaluate(auto_variant(), auto_variant()).outputs - expected).abs().max().item<double>(), 1e-4 * expected.abs().max().item<double>());
}

TEST_F(VariantLayersTest, WhatNeitherSupportsIsRefusedByName) {
  Variant nothing = variant_named("naive_sparse", Device::cpu);
  nothing.why_unsupported = never;
  try {
    evaluate(nothing, nothing);
    FAIL() << "was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("--variant=naive_sparse: conv1: nothing is supported"));
  }
}

}  // namespace
}  // namespace lcnn::train
