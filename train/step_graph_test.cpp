// A recorded step against an ordinary one, on a GPU.
#include "train/step_graph.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "variants/runtime.h"

namespace lcnn::train {
namespace {

struct Case {
  const char* network;
  ConvolutionKind convolution;
  Precision autocast;
  LookupEvaluation evaluation = LookupEvaluation::stages;
};

std::shared_ptr<Model> model_of(const Case& c, std::int64_t extent) {
  const ModelEntry& entry = *find_model(c.network);
  Architecture architecture{.model = c.network, .shape = {3, extent, extent}, .classes = 7, .convolution = c.convolution};
  if (c.convolution != ConvolutionKind::conv2d) architecture.dictionary_sizes = entry.fast;
  torch::manual_seed(5);
  auto model = make_model(architecture);
  model->set_evaluation(c.evaluation);
  model->to(torch::kCUDA);
  model->train();
  return model;
}

double relative_difference(const torch::Tensor& a, const torch::Tensor& b) { return ((a - b).norm() / b.norm().clamp_min(1e-20)).item<double>(); }

class StepGraphs : public testing::TestWithParam<Case> {};

TEST_P(StepGraphs, GiveTheGradientsOfOrdinarySteps) {
  if (const std::string reason = why_no_cuda(); !reason.empty()) GTEST_SKIP() << reason;
  const Case& c = GetParam();
  constexpr std::int64_t kExtent = 32;
  const auto ordinary = model_of(c, kExtent), recorded = model_of(c, kExtent);
  const LossScaler scaler(c.autocast == Precision::fp16, torch::kCUDA);
  const Objective objective{.lambda = c.convolution == ConvolutionKind::pooled ? 0.01 : 0, .autocast = c.autocast, .loss_scaler = &scaler};
  // Sums in another order, which 16 bits round differently.
  const double tolerance = c.autocast == Precision::fp32 ? 2e-3 : 3e-2;
  StepGraph graph;
  for (std::int64_t step = 0; step < StepGraph::kOrdinarySteps + 4; ++step) {
    const std::int64_t batch = step == StepGraph::kOrdinarySteps + 2 ? 5 : 8;  // a last, smaller batch in between
    const torch::Tensor images = torch::randn({batch, 3, kExtent, kExtent}).to(torch::kCUDA);
    const torch::Tensor labels = torch::randint(7, {batch}, torch::kLong).to(torch::kCUDA);
    for (const torch::Tensor& parameter : ordinary->parameters()) torch::Tensor(parameter).mutable_grad().reset();
    const StepResult expected = add_gradients(*ordinary, images, labels, objective, 1);
    const StepResult found = graph.gradients(*recorded, images, labels, objective, 1);
    ASSERT_NEAR(found.loss, expected.loss, tolerance * std::abs(expected.loss)) << "step " << step;
    ASSERT_LE(relative_difference(found.outputs, expected.outputs), tolerance) << "step " << step;
    const auto a = recorded->parameters(), b = ordinary->parameters();
    std::vector<torch::Tensor> all_found, all_expected;
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_TRUE(a[i].grad().defined() && b[i].grad().defined());
      all_found.push_back(a[i].grad().flatten());
      all_expected.push_back(b[i].grad().flatten());
    }
    ASSERT_LE(relative_difference(torch::cat(all_found), torch::cat(all_expected)), tolerance) << "step " << step;
    // What an optimizer does: the graph reads the parameters anew.
    const torch::NoGradGuard no_grad;
    for (const auto& model : {ordinary, recorded}) {
      for (torch::Tensor& parameter : model->parameters()) parameter.mul_(0.9);
    }
  }
  EXPECT_GT(graph.held_bytes(), 0);
}

INSTANTIATE_TEST_SUITE_P(Networks, StepGraphs,
                         testing::Values(Case{"lenet", ConvolutionKind::conv2d, Precision::fp32}, Case{"lenet", ConvolutionKind::pooled, Precision::fp16},
                                         Case{"lenet", ConvolutionKind::fixed, Precision::bf16}, Case{"resnet20", ConvolutionKind::conv2d, Precision::fp32},
                                         Case{"resnet20", ConvolutionKind::pooled, Precision::fp32},
                                         Case{"resnet20", ConvolutionKind::fixed, Precision::fp32},
                                         Case{"lenet", ConvolutionKind::fixed, Precision::bf16, LookupEvaluation::filters},
                                         Case{"resnet20", ConvolutionKind::pooled, Precision::fp32, LookupEvaluation::filters}),
                         [](const testing::TestParamInfo<Case>& info) {
                           return std::string(info.param.network) + "_" + std::string(to_string(info.param.convolution)) + "_" +
                                  std::string(lcnn::to_string(info.param.autocast)) +
                                  (info.param.evaluation == LookupEvaluation::filters ? "_filters" : "");
                         });

}  // namespace
}  // namespace lcnn::train
