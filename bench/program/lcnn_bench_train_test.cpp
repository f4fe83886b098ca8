// Rows of lcnn_bench that are steps of training: the program itself is run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/test_support.h"
#include "reports/schema.h"
#include "reports/test_program.h"

namespace lcnn::bench {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Outcome run(const std::vector<std::string>& arguments) { return Program(LCNN_BENCH_PATH, arguments).wait(); }

TEST(LcnnBenchTrain, StepsOfANetworkAreVerifiedMeasuredAndReported) {
  const TemporaryFolder folder;
  const std::string path = folder / "report.json";
  const Outcome outcome = run({"--device=cpu", "--threads=1", "--benchmark_filter=Train/.*/lenet/", "--benchmark_min_time=0.01", "--batch=4",
                               "--layout=nchw", "--report=" + path});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const json report = json::parse(read_text(path));
  if (const auto violations = reports::schema_violations(report)) {
    EXPECT_THAT(*violations, testing::IsEmpty());
  }
  std::vector<std::string> names;
  for (const json& row : report["rows"]) {
    names.push_back(row["name"]);
    ASSERT_EQ(row["disposition"], "measured") << row["reason"];
    EXPECT_GT(row["verification"]["rel_err"].get<double>(), 0);
    EXPECT_EQ(row["baseline"], "Train/conv2d/lenet/n4/fp32");
    EXPECT_GT(row["memory"]["prepared_bytes"].get<std::int64_t>(), row["memory"]["weights_bytes"].get<std::int64_t>())
        << "gradients and momentum are as large as the parameters each";
    EXPECT_EQ(row["problem"]["dictionary_sizes"].empty(), row["variant"] == "conv2d");
  }
  EXPECT_THAT(names, testing::ElementsAre("Train/conv2d/lenet/n4/fp32", "Train/pooled/lenet/fast/n4/fp32", "Train/pooled_filters/lenet/fast/n4/fp32",
                                          "Train/fixed/lenet/fast/n4/fp32", "Train/fixed_filters/lenet/fast/n4/fp32"));
}

TEST(LcnnBenchTrain, OnlyAFilterThatNamesThemAsksForThem) {
  EXPECT_THAT(run({"--device=cpu", "--benchmark_list_tests"}).out, AllOf(HasSubstr("Lookup/"), Not(HasSubstr("Train/"))));
  EXPECT_THAT(run({"--device=cpu", "--benchmark_list_tests", "--benchmark_filter=-Train"}).out, Not(HasSubstr("Train/")));
  EXPECT_THAT(run({"--device=cpu", "--benchmark_list_tests", "--benchmark_filter=^Train/", "--dictionary=accurate,4:2"}).out,
              AllOf(HasSubstr("Train/fixed/resnet18/accurate/n32/fp32\n"), HasSubstr("Train/pooled/alexnet/d4s2/n32/fp32\n"),
                    HasSubstr("Train/conv2d/cnn/n32/fp32/nhwc\n"), Not(HasSubstr("Lookup/"))));
}

TEST(LcnnBenchTrain, MixedPrecisionIsMeasuredAndTf32IsForCuda) {
  const TemporaryFolder folder;
  const std::string path = folder / "report.json";
  ASSERT_EQ(run({"--device=cpu", "--threads=1", "--benchmark_filter=Train/.*/lenet/", "--benchmark_min_time=0.01", "--batch=4",
                 "--precision=tf32,fp16,bf16", "--report=" + path})
                .exit_code,
            0);
  const json report = json::parse(read_text(path));
  EXPECT_EQ(report["rows"].size(), 27u);  // all but fixed in two layouts
  for (const json& row : report["rows"]) {
    if (row["precision"] == "tf32") {
      EXPECT_EQ(row["disposition"], "unsupported") << row["name"];
      EXPECT_THAT(row["reason"].get<std::string>(), HasSubstr("tf32 is for CUDA"));
      continue;
    }
    ASSERT_EQ(row["disposition"], "measured") << row["name"] << ": " << row["reason"];
    EXPECT_GT(row["verification"]["rel_err"].get<double>(), 1e-4) << row["name"] << ": its convolutions are none of " << row["precision"];
    EXPECT_GT(row["memory"]["prepared_bytes"].get<std::int64_t>(), row["memory"]["weights_bytes"].get<std::int64_t>());
  }
  if (const auto violations = reports::schema_violations(report)) {
    EXPECT_THAT(*violations, testing::IsEmpty());
  }
}

TEST(LcnnBenchTrain, WhatCannotBeIsRefused) {
  for (const auto& [argument, says] : {std::pair("--dictionary=8:1.5", "--dictionary=8:1.5: networks are trained with a whole number"),
                                       std::pair("--profile=x", "--profile: steps of training are profiled by lcnn_profile")}) {
    const Outcome outcome = run({"--device=cpu", "--benchmark_filter=Train", argument});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err, HasSubstr(says));
  }
}

}  // namespace
}  // namespace lcnn::bench
