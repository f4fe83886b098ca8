#include "reports/thresholds.h"

#include <gmock/gmock.h>

#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using nlohmann::json;

std::string refused(const char* document) {
  return refusal<std::invalid_argument>([&] { Thresholds::parse(json::parse(document)); });
}

TEST(ThresholdsTest, LaterRulesWinFieldByField) {
  const Thresholds thresholds = Thresholds::parse(json::parse(R"({
    "default": {"time": 0.1, "memory": null},
    "rows": [{"name": "^Lookup/", "time": 0.2, "rel_err": 3}, {"name": "/fp16$", "time": 0.3}]})"));
  const Limits conv = thresholds.of("Conv2d/cudnn/fp32"), both = thresholds.of("Lookup/x/fp16");
  EXPECT_EQ(conv.time, 0.1);
  EXPECT_EQ(conv.memory, std::nullopt);
  EXPECT_EQ(conv.rel_err, 2.0);
  EXPECT_EQ(both.time, 0.3);
  EXPECT_EQ(both.rel_err, 3.0);
  EXPECT_EQ(both.memory, std::nullopt);
}

TEST(ThresholdsTest, DefaultsAreTheDocumentedOnes) {
  const Limits limits = Thresholds().of("row");
  EXPECT_EQ(limits.time, 0.05);
  EXPECT_EQ(limits.memory, 0.01);
  EXPECT_EQ(limits.rel_err, 2.0);
  EXPECT_EQ(limits.prepare, 0.5);
  EXPECT_EQ(limits.prepare_at_least_ms, 100);
  EXPECT_EQ(limits.speedup, std::nullopt);
}

TEST(ThresholdsTest, WhatIsWrongIsNamed) {
  EXPECT_EQ(refused(R"({"defaults": {}})"), "defaults: is unknown");
  EXPECT_EQ(refused(R"({"default": {"tiem": 1}})"), "default.tiem: is unknown");
  EXPECT_EQ(refused(R"({"default": {"name": "x"}})"), "default.name: is unknown");
  EXPECT_EQ(refused(R"({"default": {"time": "5%"}})"), "default.time: has to be a number of at least 0");
  EXPECT_EQ(refused(R"({"default": {"rel_err": 0.5}})"), "default.rel_err: has to be a number of at least 1");
  EXPECT_EQ(refused(R"({"rows": [{"time": 1}]})"), "rows[0]: has no name");
  EXPECT_EQ(refused(R"({"rows": [{"name": "a"}, {"name": "("}]})"), "rows[1].name: is no regular expression");
  EXPECT_EQ(refused(R"({"rows": [3]})"), "rows[0]: has to be an object");
  EXPECT_EQ(refused(R"({"rows": {}})"), "rows: has to be a list");
  EXPECT_EQ(refused(R"([])"), "has to be an object with default and rows");
  EXPECT_EQ(refused("{\"a\\nb\": 1}"), "a\\x0ab: is unknown");
}

// The example in reports/README.md stands after the line that has "thresholds.json".
TEST(ThresholdsTest, TheDocumentedExampleIsRead) {
  const std::string readme = read_text(LCNN_REPORTS_FOLDER "/README.md");
  const std::size_t begin = readme.find("```json\n", readme.find("thresholds.json"));
  ASSERT_NE(begin, std::string::npos);
  const std::size_t end = readme.find("```", begin + 8);
  const Thresholds thresholds = Thresholds::parse(json::parse(readme.substr(begin + 8, end - begin - 8)));
  EXPECT_EQ(thresholds.of("Lookup/naive_sparse/resnet18/64@56/fast/n32/fp32").time, 0.1);
  EXPECT_EQ(thresholds.of("Lookup/baked_gather/resnet18/64@56/fast/n32/fp32").prepare, std::nullopt);
  EXPECT_EQ(thresholds.of("Conv2d/cudnn/resnet18/64@56/n32/fp32").time, 0.05);
}

}  // namespace
}  // namespace lcnn::reports
