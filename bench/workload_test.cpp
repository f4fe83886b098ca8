#include "bench/workload.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "bench/test_support.h"
#include "kernels/operation_count.h"
#include "kernels/weights.h"

namespace lcnn::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A layer as the published tables give it, in one line: "64-192 5x5/1 p2 @27 -> 27".
std::string shape(const Layer& layer) {
  const Conv2dProblem& conv = layer.conv;
  EXPECT_EQ(conv.height, conv.width);
  EXPECT_EQ(conv.out_height(), conv.out_width());
  EXPECT_EQ(conv.dilation, (Pair{1, 1}));
  EXPECT_EQ(conv.groups, 1);
  return fmt::format("{}: {}-{} {}x{}/{} p{} @{} -> {}", layer.name, conv.in_channels, conv.out_channels,
                     conv.kernel[0], conv.kernel[1], conv.stride[0], conv.padding[0], conv.height,
                     conv.out_height());
}

std::vector<std::string> shapes(std::string_view set) {
  std::vector<std::string> lines;
  for (const Layer& layer : workload_layers(set, Device::cpu)) lines.push_back(shape(layer));
  return lines;
}

// "fast 30 x 0.034, accurate 500 x 0.04": sizes and densities of P.
std::string dictionaries(const Layer& layer) {
  std::string text;
  for (const Dictionary& dictionary : layer.dictionaries) {
    text += fmt::format("{}{} {} x {:.4g}", text.empty() ? "" : ", ", dictionary.name, dictionary.size,
                        dictionary.sparsity / static_cast<double>(dictionary.size));
  }
  return text;
}

TEST(Workload, SeedIsTheOriginalsComparison) {
  const std::vector<Layer> layers = workload_layers("seed", Device::cpu);
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(shape(layers[0]), "64-128@224: 64-128 3x3/1 p1 @224 -> 224");
  EXPECT_EQ(layers[0].path(), "seed/64-128@224");
  EXPECT_EQ(layers[0].granularity, Granularity::filter);
  EXPECT_THAT(layers[0].dictionaries, ElementsAre(Dictionary{"d10s1", 10, 1}));
  EXPECT_THAT(layers[0].batches, ElementsAre(1));
  EXPECT_TRUE(layers[0].conv.bias);
}

TEST(Workload, AlexnetHasTfLcnnsShapesSizesAndDensities) {
  EXPECT_THAT(shapes("alexnet"),
              ElementsAre("conv1: 3-64 11x11/4 p2 @224 -> 55", "conv2: 64-192 5x5/1 p2 @27 -> 27",
                          "conv3: 192-384 3x3/1 p1 @13 -> 13", "conv4: 384-256 3x3/1 p1 @13 -> 13",
                          "conv5: 256-256 3x3/1 p1 @13 -> 13", "fc6: 256-4096 6x6/1 p0 @6 -> 1",
                          "fc7: 4096-4096 1x1/1 p0 @1 -> 1"));
  std::vector<std::string> lines;
  for (const Layer& layer : workload_layers("alexnet", Device::cpu)) lines.push_back(dictionaries(layer));
  EXPECT_THAT(lines,
              ElementsAre("fast 3 x 0.083, accurate 3 x 0.129", "fast 30 x 0.034, accurate 500 x 0.04",
                          "fast 30 x 0.008, accurate 500 x 0.029", "fast 30 x 0.013, accurate 500 x 0.034",
                          "fast 30 x 0.027, accurate 30 x 0.071", "fast 512 x 0.001, accurate 1024 x 0.006",
                          "fast 512 x 0.002, accurate 1024 x 0.007"));
}

TEST(Workload, Resnet18HasItsBlocksAndShortcuts) {
  EXPECT_THAT(
      shapes("resnet18"),
      ElementsAre("conv1: 3-64 7x7/2 p3 @224 -> 112", "64@56: 64-64 3x3/1 p1 @56 -> 56",
                  "64-128@56: 64-128 3x3/2 p1 @56 -> 28", "shortcut64-128@56: 64-128 1x1/2 p0 @56 -> 28",
                  "128@28: 128-128 3x3/1 p1 @28 -> 28", "128-256@28: 128-256 3x3/2 p1 @28 -> 14",
                  "shortcut128-256@28: 128-256 1x1/2 p0 @28 -> 14", "256@14: 256-256 3x3/1 p1 @14 -> 14",
                  "256-512@14: 256-512 3x3/2 p1 @14 -> 7", "shortcut256-512@14: 256-512 1x1/2 p0 @14 -> 7",
                  "512@7: 512-512 3x3/1 p1 @7 -> 7"));
}

TEST(Workload, Resnet18HasThePapersDictionariesForItsFourBlockTypes) {
  int blocks = 0;
  for (const Layer& layer : workload_layers("resnet18", Device::cpu)) {
    for (const auto& [name, size_fast, size_accurate] :
         {std::tuple{"64@56", 16, 128}, {"128@28", 32, 256}, {"256@14", 64, 512}, {"512@7", 128, 1024}}) {
      if (layer.name != name) continue;
      EXPECT_THAT(layer.dictionaries,
                  ElementsAre(Dictionary{"fast", size_fast, 1}, Dictionary{"accurate", size_accurate, 3}));
      EXPECT_FALSE(layer.conv.bias) << "batch normalisation follows";
      ++blocks;
    }
  }
  EXPECT_EQ(blocks, 4);
}

TEST(Workload, Vgg16HasEachOfItsConvolutionsOnce) {
  EXPECT_THAT(shapes("vgg16"),
              ElementsAre("3-64@224: 3-64 3x3/1 p1 @224 -> 224", "64@224: 64-64 3x3/1 p1 @224 -> 224",
                          "64-128@112: 64-128 3x3/1 p1 @112 -> 112", "128@112: 128-128 3x3/1 p1 @112 -> 112",
                          "128-256@56: 128-256 3x3/1 p1 @56 -> 56", "256@56: 256-256 3x3/1 p1 @56 -> 56",
                          "256-512@28: 256-512 3x3/1 p1 @28 -> 28", "512@28: 512-512 3x3/1 p1 @28 -> 28",
                          "512@14: 512-512 3x3/1 p1 @14 -> 14"));
}

TEST(Workload, PublishedSetsAreMeasuredAtThreeBatchesWithValidDictionaries) {
  for (const char* set : {"alexnet", "resnet18", "vgg16"}) {
    for (const Layer& layer : workload_layers(set, Device::cuda)) {
      EXPECT_EQ(layer.set, set);
      EXPECT_THAT(layer.batches, ElementsAre(1, 32, 256)) << layer.path();
      ASSERT_EQ(layer.dictionaries.size(), 2u) << layer.path();
      EXPECT_EQ(layer.dictionaries[0].name, "fast");
      EXPECT_EQ(layer.dictionaries[1].name, "accurate");
      for (const Dictionary& dictionary : layer.dictionaries) {
        EXPECT_NO_THROW(validate(LookupProblem{layer.conv, dictionary.size, layer.granularity}))
            << layer.path();
        EXPECT_GT(dictionary.sparsity, 0) << layer.path();
        EXPECT_LE(dictionary.sparsity, static_cast<double>(dictionary.size)) << layer.path();
      }
    }
  }
}

TEST(Workload, NamesAreUniqueInEverySet) {
  for (const std::string& set : workload_names()) {
    std::set<std::string> paths;
    for (const Layer& layer : workload_layers(set, Device::cpu))
      EXPECT_TRUE(paths.insert(layer.path()).second) << layer.path();
    EXPECT_FALSE(paths.empty()) << set;
  }
}

TEST(Workload, DefaultIsSeedAndFourBlocksAtTheDevicesBatch) {
  for (const auto& [device, batch] : {std::pair{Device::cpu, 1}, {Device::cuda, 32}}) {
    const std::vector<Layer> layers = workload_layers(kDefaultWorkload, device);
    std::vector<std::string> paths;
    for (const Layer& layer : layers) paths.push_back(layer.path());
    EXPECT_THAT(paths, ElementsAre("seed/64-128@224", "resnet18/64@56", "resnet18/128@28", "resnet18/256@14",
                                   "resnet18/512@7"));
    EXPECT_THAT(layers.at(0).batches, ElementsAre(1));
    for (std::size_t i = 1; i < layers.size(); ++i) EXPECT_THAT(layers[i].batches, ElementsAre(batch));
  }
}

TEST(Workload, UnknownNamesAreRefusedWithThoseThatAreAccepted) {
  const std::string message = refusal([] { workload_layers("resnet50", Device::cpu); });
  EXPECT_THAT(message, HasSubstr("resnet50"));
  for (const std::string& name : workload_names()) EXPECT_THAT(message, HasSubstr(name));
  EXPECT_THAT(workload_names(), ElementsAre("default", "seed", "alexnet", "resnet18", "vgg16", "race"));
}

TEST(Workload, SizedDictionariesAreNamedByTheirSizes) {
  EXPECT_EQ(sized_dictionary(10, 1), (Dictionary{"d10s1", 10, 1}));
  EXPECT_EQ(sized_dictionary(30, 0.5).name, "d30s0.5");
}

// The table of the race's work, as it is printed: a figure stands for all values that round to it.
struct RaceLine {
  const char* layer;
  std::int64_t batch;
  const char *conv2d_gmac, *dictionary_gmac, *lookups_m;
};
constexpr RaceLine kRace[] = {{"seed/64-128@224", 1, "3.70", "0.289", "6.4"},
                              {"alexnet/conv2", 32, "7.17", "0.045", "114"},
                              {"alexnet/conv3", 32, "3.59", "0.031", "4.5"},
                              {"alexnet/conv4", 32, "4.78", "0.062", "4.9"},
                              {"alexnet/conv5", 32, "3.19", "0.042", "10.1"},
                              {"alexnet/fc6", 32, "1.21", "0.151", "2.4"},
                              {"resnet18/64@56", 32, "3.70", "0.103", "57.8"},
                              {"resnet18/128@28", 32, "3.70", "0.103", "28.9"},
                              {"resnet18/256@14", 32, "3.70", "0.103", "14.5"},
                              {"resnet18/512@7", 32, "3.70", "0.103", "7.2"},
                              {"resnet18/64@56", 256, "29.6", "0.82", "462"},
                              {"resnet18/128@28", 256, "29.6", "0.82", "231"},
                              {"resnet18/256@14", 256, "29.6", "0.82", "116"},
                              {"resnet18/512@7", 256, "29.6", "0.82", "58"},
                              {"vgg16/256@56", 32, "59.2", "1.64", "231"}};

bool rounds_to(double value, const std::string& figure) {
  const std::size_t point = figure.find('.');
  const auto decimals = point == std::string::npos ? 0 : static_cast<int>(figure.size() - point - 1);
  return std::abs(value - std::stod(figure)) <= 0.5001 * std::pow(10.0, -decimals);
}

TEST(Workload, RaceHasTheWorkOfTheDesignsTable) {
  std::set<std::pair<std::string, std::int64_t>> asked;
  for (const Layer& layer : workload_layers("race", Device::cuda)) {
    for (const std::int64_t batch : layer.batches) {
      EXPECT_TRUE(asked.insert({layer.path(), batch}).second) << layer.path() << " n" << batch;
      const RaceLine* line = std::ranges::find_if(kRace, [&](const RaceLine& candidate) {
        return candidate.layer == layer.path() && candidate.batch == batch;
      });
      ASSERT_NE(line, std::end(kRace)) << layer.path() << " n" << batch << " is not in the table";
      LookupProblem problem{layer.conv, layer.dictionaries.at(0).size, layer.granularity};
      problem.conv.batch = batch;
      const double sparsity = layer.dictionaries[0].sparsity;
      const LookupTable lookups = random_weights(problem, sparsity, Precision::fp16, 1).lookups;
      const OperationCount work = count_operations(problem, lookups);
      EXPECT_TRUE(rounds_to(work.conv2d_multiplications / 1e9, line->conv2d_gmac)) << line->layer;
      EXPECT_TRUE(rounds_to(work.dictionary_multiplications / 1e9, line->dictionary_gmac)) << line->layer;

      const Conv2dProblem places = problem.lookup_stage();
      const auto rows = static_cast<double>(places.out_channels * places.taps());
      const double pixels = static_cast<double>(batch * places.out_height() * places.out_width());
      EXPECT_TRUE(rounds_to(rows * sparsity * pixels / 1e6, line->lookups_m)) << line->layer;
      // The drawn pattern: binomial over the entries of P, or exact for whole filters.
      const double density = sparsity / static_cast<double>(problem.dictionary_size);
      const double sigma =
          layer.granularity == Granularity::filter ? 0 : std::sqrt(rows * sparsity * (1 - density)) * pixels;
      EXPECT_NEAR(work.lookups, rows * sparsity * pixels, 3 * sigma + 1) << line->layer;
    }
  }
  EXPECT_EQ(asked.size(), std::size(kRace));
}

}  // namespace
}  // namespace lcnn::bench
