#include "bench/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "bench/selection.h"
#include "bench/test_support.h"
#include "variants/variant_table.h"

namespace lcnn::bench {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> names(const std::vector<Group>& groups) {
  std::vector<std::string> found;
  for (const Group& group : groups) {
    for (const RowPlan& row : group.rows) found.push_back(row.name);
  }
  return found;
}

std::vector<std::string> titles(const std::vector<Group>& groups) {
  std::vector<std::string> found;
  for (const Group& group : groups) found.push_back(group.title());
  return found;
}

Layer small_layer(const std::string& name) {
  return {.set = "mine", .name = name,
          .conv = {.in_channels = 8, .height = 6, .width = 6, .out_channels = 8, .kernel = {3, 3}},
          .dictionaries = {sized_dictionary(4, 1)}, .batches = {2}};
}

std::vector<Group> plan(std::vector<Layer> layers,
                        std::vector<Layout> layouts = {Layout::nchw, Layout::nhwc}) {
  return make_plan({.device = Device::cpu,
                    .layers = std::move(layers),
                    .precisions = {Precision::fp32},
                    .layouts = layouts});
}

bool is_baseline(const std::string& name) { return name.starts_with("Conv2d/"); }

TEST(Plan, RowsAreNamedAsTheDesignSays) {
  std::vector<Layer> layers = workload_layers("resnet18", Device::cpu);
  std::erase_if(layers, [](const Layer& layer) { return layer.name != "64@56"; });
  layers.at(0).batches = {32};
  const std::vector<std::string> found = names(make_plan({.device = Device::cpu,
                                                          .layers = layers,
                                                          .precisions = {Precision::fp32, Precision::fp16},
                                                          .layouts = {Layout::nchw, Layout::nhwc}}));
  for (const char* name :
       {"Lookup/naive_sparse/resnet18/64@56/fast/n32/fp16",
        "Lookup/naive_sparse/resnet18/64@56/accurate/n32/fp32",
        "Lookup/precompute_gather/resnet18/64@56/fast/n32/fp32/nhwc", "Conv2d/onednn/resnet18/64@56/n32/fp32",
        "Conv2d/onednn/resnet18/64@56/n32/fp32/nhwc", "Peer/two_convolutions/resnet18/64@56/fast/n32/fp32"}) {
    EXPECT_EQ(std::ranges::count(found, name), 1) << name;
  }
}

TEST(Plan, SizedDictionariesAndSetsAreInTheNames) {
  EXPECT_THAT(names(plan(workload_layers("seed", Device::cpu))),
              Contains("Lookup/shared_tiled/seed/64-128@224/d10s1/n1/fp32"));
  EXPECT_THAT(names(plan({small_layer("a")})), Contains("Lookup/naive_sparse/mine/a/d4s1/n2/fp32"));
}

TEST(Plan, EveryVariantOfTheDeviceIsPlannedBaselinesFirst) {
  const std::vector<Group> groups = plan({small_layer("a")}, {Layout::nchw});
  ASSERT_EQ(groups.size(), 1u);
  std::vector<const Variant*> planned, of_device;
  for (const RowPlan& row : groups[0].rows) planned.push_back(row.variant);
  for (const Variant* variant : variant_table()) {
    if (variant->device == Device::cpu) of_device.push_back(variant);
  }
  EXPECT_TRUE(
      std::ranges::is_partitioned(planned, [](const Variant* v) { return v->kind == VariantKind::conv2d; }));
  EXPECT_THAT(planned, testing::UnorderedElementsAreArray(of_device));
}

TEST(Plan, AGroupIsOneLayerBatchAndPrecision) {
  Layer layer = small_layer("a");
  layer.batches = {1, 7};
  const std::vector<Group> groups = make_plan({.device = Device::cpu,
                                               .layers = {layer, small_layer("b")},
                                               .precisions = {Precision::fp32, Precision::bf16},
                                               .layouts = {Layout::nchw}});
  EXPECT_THAT(titles(groups), ElementsAre("mine/a n1 fp32", "mine/a n1 bf16", "mine/a n7 fp32",
                                          "mine/a n7 bf16", "mine/b n2 fp32", "mine/b n2 bf16"));
  EXPECT_EQ(groups[2].layer.conv.batch, 7);
}

TEST(Plan, BaselinesAreMeasuredOnceForAllDictionaries) {
  Layer layer = small_layer("a");
  layer.dictionaries.push_back(sized_dictionary(8, 2));
  const std::vector<Group> groups = plan({layer}, {Layout::nchw});
  ASSERT_EQ(groups.size(), 1u);
  const std::vector<std::string> found = names(groups);
  EXPECT_EQ(std::ranges::count(found, "Conv2d/onednn/mine/a/n2/fp32"), 1);
  EXPECT_EQ(std::ranges::count(found, "Lookup/naive_sparse/mine/a/d4s1/n2/fp32"), 1);
  EXPECT_EQ(std::ranges::count(found, "Lookup/naive_sparse/mine/a/d8s2/n2/fp32"), 1);
  for (const RowPlan& row : groups[0].rows) {
    EXPECT_EQ(row.dictionary, row.name.find("/d8s2/") == std::string::npos ? 0u : 1u) << row.name;
  }
}

TEST(Plan, WhatIsAskedForTwiceIsPlannedOnce) {
  Layer twice = small_layer("a");
  twice.dictionaries.push_back(twice.dictionaries[0]);
  twice.batches = {2, 2};
  EXPECT_EQ(names(make_plan({.device = Device::cpu,
                             .layers = {twice, twice},
                             .precisions = {Precision::fp32, Precision::fp32},
                             .layouts = {Layout::nchw, Layout::nchw}})),
            names(plan({small_layer("a")}, {Layout::nchw})));
}

TEST(Plan, TwoDifferentLayersOfOneNameAreRefused) {
  Layer other = small_layer("a");
  other.conv.height = 9;
  EXPECT_THAT(refusal([&] { plan({small_layer("a"), other}); }), HasSubstr("mine/a"));
}

TEST(Plan, ALayerThatCannotBeComputedIsRefusedByName) {
  Layer layer = small_layer("wide");
  layer.conv.kernel = {3, 7};
  EXPECT_THAT(refusal([&] { plan({layer}); }), AllOf(HasSubstr("mine/wide"), HasSubstr("kernel width 7")));
  layer = small_layer("sparse");
  layer.dictionaries = {sized_dictionary(4, 4.5)};
  EXPECT_THAT(refusal([&] { plan({layer}); }), AllOf(HasSubstr("mine/sparse"), HasSubstr("sparsity is 4.5")));
  layer.dictionaries = {sized_dictionary(4, std::nan(""))};
  EXPECT_THAT(refusal([&] { plan({layer}); }), HasSubstr("sparsity is nan"));
}

TEST(Plan, AFilterKeepsTheBaselinesThatItsRowsAreComparedWith) {
  const std::vector<Group> all = plan({small_layer("a"), small_layer("b")});
  const std::vector<std::string> found = names(select(all, RowFilter("Lookup/naive.*/a/")));
  std::vector<std::string> baselines, others;
  std::ranges::partition_copy(found, std::back_inserter(baselines), std::back_inserter(others), is_baseline);
  EXPECT_THAT(others, ElementsAre("Lookup/naive_sparse/mine/a/d4s1/n2/fp32",
                                  "Lookup/naive_sparse/mine/a/d4s1/n2/fp32/nhwc"));
  EXPECT_THAT(baselines, Each(HasSubstr("/mine/a/")));
  EXPECT_THAT(baselines, Contains("Conv2d/onednn/mine/a/n2/fp32"));
  EXPECT_THAT(baselines, Contains("Conv2d/onednn/mine/a/n2/fp32/nhwc"));
}

TEST(Plan, AFilterMaySelectBaselinesAlone) {
  EXPECT_THAT(names(select(plan({small_layer("a")}), RowFilter("^Conv2d/onednn/"))), Each(StartsWith("Conv2d/")));
}

TEST(Plan, ALeadingMinusNegatesTheFilter) {
  const std::vector<std::string> found =
      names(select(plan({small_layer("a"), small_layer("b")}), RowFilter("-naive_sparse|/b/")));
  EXPECT_THAT(found, Each(Not(HasSubstr("/b/"))));
  EXPECT_THAT(found, Each(Not(HasSubstr("naive_sparse"))));
  EXPECT_THAT(found, Contains("Lookup/shared_tiled/mine/a/d4s1/n2/fp32"));
  EXPECT_THAT(found, Contains("Conv2d/onednn/mine/a/n2/fp32"));
}

TEST(Plan, AFilterIsSearchedForAsAnExtendedExpression) {
  const std::vector<Group> all = plan({small_layer("a"), small_layer("b")});
  EXPECT_EQ(names(select(all, RowFilter("."))), names(all));
  EXPECT_EQ(titles(select(all, RowFilter("mine/(a|c)/d[0-9]+s1"))), std::vector<std::string>{"mine/a n2 fp32"});
  EXPECT_THAT(select(all, RowFilter("mine/c")), IsEmpty());
}

TEST(Plan, WhatIsNoExpressionIsRefused) {
  for (const char* filter : {"(", "[a", "-(", "*"}) {
    EXPECT_THAT(refusal([&] { select(plan({small_layer("a")}), RowFilter(filter)); }),
                AllOf(HasSubstr("--benchmark_filter="), HasSubstr(filter)));
  }
}

TEST(Plan, FinishedGroupsAreLeftOut) {
  const std::vector<Group> all = plan({small_layer("a"), small_layer("b")});
  std::vector<std::string> finished = names({all[0]});
  EXPECT_THAT(titles(without_finished(all, finished)), ElementsAre("mine/b n2 fp32"));
  EXPECT_THAT(without_finished(all, names(all)), IsEmpty());
  EXPECT_EQ(names(without_finished(all, {})), names(all));
}

TEST(Plan, AnUnfinishedGroupKeepsItsBaselinesAndItsUnfinishedRows) {
  const std::vector<Group> all = plan({small_layer("a")}, {Layout::nchw});
  std::vector<std::string> finished = names(all);
  std::erase(finished, "Lookup/shared_tiled/mine/a/d4s1/n2/fp32");
  const std::vector<std::string> left = names(without_finished(all, finished));
  EXPECT_THAT(left, Contains("Conv2d/onednn/mine/a/n2/fp32"));
  EXPECT_EQ(std::ranges::count_if(left, is_baseline), std::ssize(left) - 1);
  EXPECT_EQ(left.back(), "Lookup/shared_tiled/mine/a/d4s1/n2/fp32");
}

}  // namespace
}  // namespace lcnn::bench
