#include "bench/program/step_error.h"

#include <gtest/gtest.h>

#include <cmath>

#include "bench/verification.h"
#include "train/model.h"

namespace lcnn::bench {
namespace {

using train::ConvolutionKind;

train::Options small_step(const std::string& model, ConvolutionKind kind) {
  train::Options options;
  options.architecture = {.model = model, .shape = {1, 28, 28}, .classes = 10, .convolution = kind,
                          .dictionary_sizes = train::find_model(model)->accurate, .sparsity = 2, .initial_sparsity = 0.3};
  options.schedule.learning_rate = 0.01;
  options.batch = 4;
  options.seed = 3;
  options.lambda = kind == ConvolutionKind::pooled ? 1e-3 : 0;
  return options;
}

TEST(StepError, EveryKindOfConvolutionIsNearFloat64) {
  for (const char* model : {"lenet", "cnn", "resnet20", "lcnn_pytorch"}) {
    for (const ConvolutionKind kind : {ConvolutionKind::conv2d, ConvolutionKind::pooled, ConvolutionKind::fixed}) {
      for (const bool filters : {false, true}) {
        SCOPED_TRACE(std::string(model) + " " + std::string(to_string(kind)) + (filters ? " by filters" : " by stages"));
        train::Options options = small_step(model, kind);
        options.filters = filters;
        const lcnn::Comparison found = step_error(options);
        EXPECT_LE(found.rel_err, 3e-6);
        EXPECT_GT(found.rel_err, 0) << "compared with itself";
        EXPECT_EQ(found.non_finite, 0);
      }
    }
  }
  for (const ConvolutionKind kind : {ConvolutionKind::conv2d, ConvolutionKind::pooled, ConvolutionKind::fixed}) {
    train::Options options = small_step("resnet20", kind);
    options.channels_last = true;
    EXPECT_LE(step_error(options).rel_err, 3e-6) << to_string(kind);
  }
}

// In mixed precision the errors are those of its roundings: neither as small as float32's nor larger than the library's.
TEST(StepError, MixedPrecisionIsAsFarFromFloat64AsTheLibrarysConv2d) {
  for (const Precision precision : {Precision::bf16, Precision::fp16}) {
    for (const char* model : {"lenet", "cnn", "resnet20"}) {
      const auto error_of = [&](ConvolutionKind kind, double lambda, bool filters = false) {
        train::Options options = small_step(model, kind);
        options.autocast = precision;
        options.lambda = lambda;
        options.filters = filters;
        const lcnn::Comparison found = step_error(options);
        EXPECT_EQ(found.non_finite, 0) << model << " " << to_string(kind) << " " << to_string(precision);
        return found.rel_err;
      };
      const double library = error_of(ConvolutionKind::conv2d, 0);
      EXPECT_GE(library, precision == Precision::bf16 ? 1e-3 : 1e-4) << model;
      EXPECT_LE(library, library_tolerance(precision)) << model;
      for (const bool filters : {false, true}) {
        for (const double lambda : {0.0, 1e-3}) {
          EXPECT_LE(error_of(ConvolutionKind::pooled, lambda, filters), kErrorFactor * library) << model << " " << lambda << " " << filters;
        }
        EXPECT_LE(error_of(ConvolutionKind::fixed, 0, filters), kErrorFactor * library) << model << " " << filters;
      }
    }
  }
}

// The loss is scaled by 65536 at first: a gradient that overflows with that is none that has to be reported.
TEST(StepError, LossesOfFp16AreScaledByLessWhereGradientsOverflow) {
  train::Options options = small_step("lenet", ConvolutionKind::fixed);
  options.autocast = Precision::fp16;
  const auto model = train::make_model(options.architecture);
  train::ConvolutionLayer& layer = model->convolutions().back();
  // The same outputs with a gradient 64 times as large in front of the layer.
  layer.evaluate = [lookup = layer.lookup](const torch::Tensor& x) mutable { return lookup->forward(x * 64 - x.detach() * 63); };
  EXPECT_EQ(step_error(options, *model).non_finite, 0);
}

// Faults in one layer of three, planted into its forward pass or its derivatives alone.
TEST(StepError, FindsFaultsOfOutputsAndOfGradients) {
  const train::Options options = small_step("lenet", ConvolutionKind::fixed);
  const auto error_with = [&](const std::function<torch::Tensor(const torch::Tensor&)>& fault) {
    const auto model = train::make_model(options.architecture);
    train::ConvolutionLayer& layer = model->convolutions().back();
    layer.evaluate = [&, lookup = layer.lookup](const torch::Tensor& x) mutable { return fault(lookup->forward(x)); };
    return step_error(options, *model);
  };
  EXPECT_LE(error_with([](const torch::Tensor& y) { return y; }).rel_err, 3e-6);
  EXPECT_GE(error_with([](const torch::Tensor& y) { return y * 1.01; }).rel_err, 9e-3);
  EXPECT_GE(error_with([](const torch::Tensor& y) { return y * 1.01 - y.detach() * 0.01; }).rel_err, 9e-3);
  const lcnn::Comparison nan = error_with([](const torch::Tensor& y) { return y * NAN; });
  EXPECT_TRUE(std::isnan(nan.rel_err));
  EXPECT_GT(nan.non_finite, 0);
  // Gradients alone that are not finite: those of a square root at zero.
  EXPECT_GT(error_with([](const torch::Tensor& y) { return y + (y - y.detach()).sqrt(); }).non_finite, 0);
}

}  // namespace
}  // namespace lcnn::bench
