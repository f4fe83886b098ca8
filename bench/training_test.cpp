#include "bench/training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <thread>

#include "bench/selection.h"
#include "bench/test_support.h"

namespace lcnn::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Networks whose steps sleep. What each method does is by its name.
class SleepingNetworks final : public TrainingNetworks {
 public:
  struct Method {
    double rel_err = 1e-6;
    std::int64_t non_finite = 0;
    std::chrono::microseconds time{1000};
    std::function<void()> in_a_step = [] {};
  };
  std::map<std::string, Method> of_method{{"conv2d", {}}, {"pooled", {}}, {"fixed", {}}};
  mutable std::vector<std::string> ran;  // methods, step by step

  std::vector<std::string> names() const override { return {"small", "large"}; }
  std::vector<TrainingMethod> methods() const override {
    return {{"pooled", {Layout::nchw, Layout::nhwc}}, {"fixed", {Layout::nchw}}};
  }
  std::unique_ptr<TrainingStep> prepare(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun&) const override {
    class Step final : public TrainingStep {
     public:
      Step(const SleepingNetworks& networks, std::string method, std::int64_t batch)
          : networks_(networks), method_(std::move(method)), batch_(batch), kept_(1 << 16) {}
      void run() override {
        const Method& method = networks_.of_method.at(method_);
        method.in_a_step();
        networks_.ran.push_back(method_);
        const std::vector<char> scratch(1 << 20, 1);
        std::this_thread::sleep_for(method.time);
      }
      TrainingProblem problem() const override { return {.batch = batch_, .channels = 1, .height = 8, .width = 8, .classes = 2, .parameters = 3}; }
      TrainingMemory memory() const override { return {.weights = 12, .images = 64, .outputs = 16}; }

     private:
      const SleepingNetworks& networks_;
      std::string method_;
      std::int64_t batch_;
      std::vector<char> kept_;
    };
    return std::make_unique<Step>(*this, row.convolution, group.batch);
  }
  lcnn::Comparison verify(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun&) const override {
    if (group.precision == Precision::bf16) throw Unsupported("no bf16 here");
    const Method& method = of_method.at(row.convolution);
    return {.rel_err = method.rel_err, .non_finite = method.non_finite};
  }
};

std::vector<TrainingGroup> plan(const SleepingNetworks& networks, Precision precision = Precision::fp32) {
  return make_training_plan(networks, {.batches = {4}, .precisions = {precision}, .dictionaries = {{.name = "fast", .sparsity = 1}},
                                       .layouts = {Layout::nchw}});
}

std::vector<Row> measure(const SleepingNetworks& networks, Precision precision = Precision::fp32) {
  const auto session = Session::open(Device::cpu, 1);
  const MeasureOptions options{.min_seconds = 0.01, .max_seconds = 0.05, .min_samples = 5};
  return measure_training(*session, networks, plan(networks, precision).front(), options, {});
}

TEST(Training, RowsAreNamedAndFilteredWithTheirBaseline) {
  const SleepingNetworks networks;
  const std::vector<TrainingGroup> groups = plan(networks);
  const auto names = [](const std::vector<TrainingGroup>& of) {
    std::vector<std::string> all;
    for (const TrainingGroup& group : of) {
      for (const TrainingRowPlan& row : group.rows) all.push_back(row.name);
    }
    return all;
  };
  EXPECT_THAT(names(groups), ElementsAre("Train/conv2d/small/n4/fp32", "Train/pooled/small/fast/n4/fp32", "Train/fixed/small/fast/n4/fp32",
                                         "Train/conv2d/large/n4/fp32", "Train/pooled/large/fast/n4/fp32", "Train/fixed/large/fast/n4/fp32"));
  EXPECT_THAT(names(select(groups, RowFilter("Train/fixed/large"))),
              ElementsAre("Train/conv2d/large/n4/fp32", "Train/fixed/large/fast/n4/fp32"));
}

TEST(Training, EveryRowIsThereAsAGraphWhereGraphsAre) {
  const SleepingNetworks networks;
  const auto groups = make_training_plan(networks, {.batches = {4}, .precisions = {Precision::fp32}, .dictionaries = {{.name = "fast", .sparsity = 1}},
                                                    .layouts = {Layout::nchw, Layout::nhwc}, .graphs = true});
  std::vector<std::string> graphs;
  for (const TrainingRowPlan& row : groups.front().rows) {
    EXPECT_EQ(row.graph, row.name.ends_with("/graph")) << row.name;
    if (row.graph) graphs.push_back(row.name);
  }
  EXPECT_THAT(graphs, ElementsAre("Train/conv2d/small/n4/fp32/graph", "Train/conv2d/small/n4/fp32/nhwc/graph", "Train/pooled/small/fast/n4/fp32/graph",
                                  "Train/pooled/small/fast/n4/fp32/nhwc/graph", "Train/fixed/small/fast/n4/fp32/graph"));
  EXPECT_EQ(groups.front().rows.size(), 10u);
}

TEST(Training, StepsAreTimedAlternatelyAndComparedWithConv2d) {
  SleepingNetworks networks;
  networks.of_method["fixed"].time = std::chrono::microseconds(4000);
  const std::vector<Row> rows = measure(networks);
  ASSERT_EQ(rows.size(), 3u);
  for (const Row& row : rows) {
    ASSERT_TRUE(row.measured()) << row.name << ": " << row.reason;
    EXPECT_EQ(row.baseline, "Train/conv2d/small/n4/fp32");
    EXPECT_GE(row.timing->median_us, 1000);
    EXPECT_GE(row.memory->prepared, 1 << 16) << "what stays between steps";
    EXPECT_GE(row.memory->workspace + row.memory->output, 1 << 20) << "what a step takes and gives back";
    EXPECT_EQ(row.memory->weights, 12);
    EXPECT_EQ(row.training->parameters, 3);
  }
  EXPECT_LT(*rows[2].speedup, 0.7);
  // The first round of samples: each row's in turn. (2 steps of each to prepare; a sample is of 1 or 2 steps.)
  std::vector<std::string> turns;
  for (std::size_t i = 6; i < networks.ran.size() && turns.size() < 6; ++i) {
    if (turns.empty() || turns.back() != networks.ran[i]) turns.push_back(networks.ran[i]);
  }
  EXPECT_THAT(turns, ElementsAre("conv2d", "pooled", "fixed", "conv2d", "pooled", "fixed"));
}

TEST(Training, WhatIsWrongIsNeverTimed) {
  SleepingNetworks networks;
  networks.of_method["pooled"].rel_err = 4.1e-6;
  networks.of_method["fixed"].non_finite = 2;
  std::vector<Row> rows = measure(networks);
  EXPECT_TRUE(rows[0].measured());
  EXPECT_EQ(rows[1].disposition, Disposition::incorrect);
  EXPECT_THAT(rows[1].reason, HasSubstr("above the tolerance 4.00e-06 (from Train/conv2d/small/n4/fp32)"));
  EXPECT_EQ(rows[2].disposition, Disposition::incorrect);
  EXPECT_THAT(rows[2].reason, HasSubstr("2 elements"));
  EXPECT_FALSE(rows[1].timing || rows[2].timing);

  networks.of_method["pooled"].rel_err = kNaN;
  networks.of_method["conv2d"].rel_err = 1e-3;
  networks.of_method["fixed"] = {};
  rows = measure(networks);
  EXPECT_EQ(rows[0].disposition, Disposition::incorrect);
  EXPECT_THAT(rows[0].reason, HasSubstr("from precision"));
  EXPECT_EQ(rows[1].disposition, Disposition::incorrect);
  EXPECT_TRUE(rows[2].measured());
  EXPECT_FALSE(rows[2].speedup) << "there is nothing to compare with";
}

TEST(Training, AStepThatFailsIsAnErrorOfItsRowAlone) {
  SleepingNetworks networks;
  int steps = 0;
  networks.of_method["fixed"].in_a_step = [&] {
    if (++steps == 4) throw std::runtime_error("the loss is no longer finite\nand more");
  };
  const std::vector<Row> rows = measure(networks);
  EXPECT_TRUE(rows[1].measured());
  EXPECT_EQ(rows[2].disposition, Disposition::error);
  EXPECT_EQ(rows[2].reason, "the loss is no longer finite");
  EXPECT_FALSE(rows[2].timing);
}

TEST(Training, WhatIsUnsupportedSaysWhy) {
  for (const Row& row : measure(SleepingNetworks(), Precision::bf16)) {
    EXPECT_EQ(row.disposition, Disposition::unsupported);
    EXPECT_EQ(row.reason, "no bf16 here");
  }
}

TEST(Training, TheUserStopsIt) {
  const SleepingNetworks networks;
  const auto session = Session::open(Device::cpu, 1);
  EXPECT_THROW(measure_training(*session, networks, plan(networks).front(), {}, {.stop = [&] { return networks.ran.size() > 8; }}), Interrupted);
}

}  // namespace
}  // namespace lcnn::bench
