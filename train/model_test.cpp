// Every network of the table, with Conv2d and with LookupConv2d.
#include "train/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

namespace lcnn::train {
namespace {

Architecture architecture_of(const ModelEntry& entry, ConvolutionKind convolution, const std::vector<std::int64_t>& sizes,
                             std::int64_t extent) {
  return {.model = std::string(entry.name), .shape = {3, extent, extent + 3}, .classes = 7, .convolution = convolution,
          .dictionary_sizes = sizes};
}

TEST(Models, TakeTheSmallestImagesAndEveryLargerOne) {
  const torch::NoGradGuard no_grad;
  for (const ModelEntry& entry : model_table()) {
    for (const std::int64_t more : {0, 5}) {
      const std::int64_t extent = entry.least_extent + more;
      const auto model = make_model(architecture_of(entry, ConvolutionKind::fixed, entry.fast, extent));
      model->eval();
      const torch::Tensor outputs = model->forward(torch::rand({2, 3, extent, extent + 3}));
      EXPECT_EQ(outputs.sizes(), (std::vector<std::int64_t>{2, 7})) << entry.name;
      EXPECT_TRUE(outputs.isfinite().all().item<bool>()) << entry.name;
    }
    if (entry.least_extent == 1) continue;
    EXPECT_THROW(make_model(architecture_of(entry, ConvolutionKind::fixed, entry.fast, entry.least_extent - 1)),
                 std::invalid_argument)
        << entry.name;
  }
}

TEST(Models, HaveOneDictionaryForEachConvolution) {
  for (const ModelEntry& entry : model_table()) {
    for (const auto& sizes : {entry.fast, entry.accurate}) {
      const auto model = make_model(architecture_of(entry, ConvolutionKind::fixed, sizes, entry.least_extent));
      std::vector<std::int64_t> made;
      for (const ConvolutionLayer& layer : model->convolutions()) made.push_back(layer.lookup->options.dictionary_size());
      EXPECT_EQ(made, sizes) << entry.name;
    }
  }
}

// Multiplications of the convolutions for one image, as published for these networks (fvcore, torchvision; He et al. for
// ResNet-20: 40.8 M with its linear layer).
TEST(Models, CostWhatIsPublished) {
  const torch::NoGradGuard no_grad;
  struct Case {
    const char* model;
    std::int64_t extent;
    double multiplications;
  };
  for (const auto& [name, extent, multiplications] : {Case{"resnet18", 224, 1813.6e6}, Case{"resnet20", 32, 40.55e6}, Case{"alexnet", 224, 710.1e6}}) {
    const ModelEntry& entry = *find_model(name);
    Architecture architecture = architecture_of(entry, ConvolutionKind::conv2d, {}, extent);
    architecture.shape.width = extent;
    const auto model = make_model(architecture);
    model->eval();
    model->forward(torch::rand({1, 3, extent, extent}));
    double sum = 0;
    for (const LayerCost& cost : model->costs()) sum += cost.conv2d_multiplications;
    EXPECT_NEAR(sum, multiplications, 0.001 * multiplications) << name;
  }
}

TEST(Models, ComputeTheSameWithNormalizationsFoldedIntoConv2d) {
  const torch::NoGradGuard no_grad;
  for (const ModelEntry& entry : model_table()) {
    const std::int64_t extent = entry.least_extent;
    const auto model = make_model(architecture_of(entry, ConvolutionKind::conv2d, {}, extent));
    model->eval();
    for (const torch::Tensor& buffer : model->buffers()) {
      if (buffer.is_floating_point()) buffer.uniform_(0.5, 2);  // means and variances
    }
    const torch::Tensor images = torch::rand({2, 3, extent, extent + 3}), expected = model->forward(images);
    model->fold_normalizations();
    EXPECT_LE((model->forward(images) - expected).abs().max().item<double>(), 1e-4 * expected.abs().max().item<double>()) << entry.name;
    for (const ConvolutionLayer& layer : model->convolutions()) EXPECT_TRUE(layer.norm.is_empty()) << entry.name;
  }
}

TEST(Models, PublishedDictionariesAreTheirPresets) {
  EXPECT_THAT(find_model("alexnet")->fast, testing::ElementsAre(3, 30, 30, 30, 30, 512, 512));
  EXPECT_THAT(find_model("alexnet")->accurate, testing::ElementsAre(3, 500, 500, 500, 30, 1024, 1024));
  EXPECT_THAT(find_model("resnet18")->fast,
              testing::ElementsAre(3, 16, 16, 16, 16, 32, 32, 32, 32, 32, 64, 64, 64, 64, 64, 128, 128, 128, 128, 128));
  EXPECT_EQ(find_model("resnet18")->accurate.back(), 1024);
}

}  // namespace
}  // namespace lcnn::train
