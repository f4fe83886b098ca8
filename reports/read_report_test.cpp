#include "reports/read_report.h"

#include <gmock/gmock.h>

#include "reports/compare.h"
#include "reports/merge.h"
#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using testing::HasSubstr;

class ReadReportTest : public testing::Test {
 protected:
  std::string refused(const std::string& text) {
    return refusal([&] { read_report(folder_.file("report.json", text)); });
  }
  TemporaryFolder folder_;
};

// Reports of version 1 stay readable for ever: this file is never made anew.
TEST_F(ReadReportTest, Version1StaysReadable) {
  const Report report = read_report(kFixture);
  EXPECT_FALSE(report.google_benchmark);
  EXPECT_EQ(report.field("device/name"), "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(report.field("timing/mode"), "rotated");
  EXPECT_EQ(report.field("git/dirty"), "false");
  ASSERT_EQ(report.rows.size(), 6);
  const auto document = fixture();
  for (std::size_t i = 0; i < 6; ++i) {
    const auto& expected = document["rows"][i];
    const Row& row = report.rows[i];
    EXPECT_EQ(row.name, expected["name"].get<std::string>());
    EXPECT_EQ(row.disposition, expected["disposition"].get<std::string>());
    EXPECT_EQ(row.precision, "fp32");
    if (row.measured()) {
      EXPECT_EQ(row.samples_us, expected["timing"]["samples_us"].get<std::vector<double>>());
      EXPECT_EQ(row.peak_bytes, expected["memory"]["peak_bytes"].get<double>());
      EXPECT_EQ(row.rel_err, expected["verification"]["rel_err"].get<double>());
      EXPECT_EQ(row.prepare_ms, expected["prepare_ms"].get<double>());
      EXPECT_EQ(row.sm_mhz_median, expected["clocks"]["sm_mhz_median"].get<double>());
    } else {
      EXPECT_EQ(row.reason, expected["reason"].get<std::string>());
      EXPECT_TRUE(row.samples_us.empty());
    }
  }
}

TEST_F(ReadReportTest, UnknownFieldsAndAnotherOrderAreFine) {
  auto document = fixture();
  document["rows"][0]["new_field"] = {{"timing", {{"samples_us", {1, 2}}}}, {"name", "x"}};
  nlohmann::ordered_json turned{{"rows", document["rows"]},
                                {"later", {1, 2}},
                                {"benchmarks", document["benchmarks"]},
                                {"context", document["context"]}};
  const Report report = read_report(folder_.file("turned.json", turned)), plain = read_report(kFixture);
  ASSERT_EQ(report.rows.size(), plain.rows.size());
  EXPECT_EQ(report.rows[0].name, plain.rows[0].name);
  EXPECT_EQ(report.rows[0].samples_us, plain.rows[0].samples_us);
}

// Google Benchmark's entries in our reports are passed over as text.
TEST_F(ReadReportTest, BracketsAndQuotesInEntriesThatAreSkipped) {
  auto document = fixture();
  document["benchmarks"][0]["name"] = "]}\"]\\";
  document["benchmarks"][1]["name"] = "\\\"]}[{";
  document["benchmarks"][0]["list"] = {{1, 2}, {{"a", {"]"}}}};
  const std::string text = document.dump();
  EXPECT_EQ(read_report(folder_.file("report.json", text)).rows.size(), 6);
  EXPECT_THAT(refused(fmt::format("\n{}\n\n?", document.dump(0))),
              HasSubstr(fmt::format("line {}: ", 4 + std::ranges::count(document.dump(0), '\n'))));
}

TEST_F(ReadReportTest, EveryTruncationIsOneLine) {
  const std::string text = fixture().dump();
  for (std::size_t size = 1; size + 1 < text.size(); size += 97)
    EXPECT_THAT(refused(text.substr(0, size)), HasSubstr("report.json: is no JSON: "));
}

TEST_F(ReadReportTest, WhatIsNoReportIsOneLine) {
  EXPECT_THAT(refusal([&] { read_report(folder_ / "absent"); }), HasSubstr("absent: No such file"));
  EXPECT_THAT(refusal([] { read_report("/tmp"); }), HasSubstr("/tmp: Is a directory"));
  EXPECT_THAT(refused(""), HasSubstr("is empty"));
  EXPECT_THAT(refused(" "), HasSubstr("is no JSON"));
  EXPECT_THAT(refused("\xff\xfe{"), HasSubstr("is no JSON"));
  EXPECT_THAT(refused("[]"), HasSubstr("is no report"));
  EXPECT_THAT(refused("3"), HasSubstr("is no report"));
  EXPECT_THAT(refused("{}"), HasSubstr("is no report"));
  EXPECT_THAT(refused(R"({"rows": []})"), HasSubstr("no lcnn_schema_version"));
  EXPECT_THAT(refused(R"({"rows": 3})"), HasSubstr("is no report"));
  EXPECT_THAT(refused(R"({"context": {"lcnn_schema_version": 2}, "rows": []})"),
              HasSubstr("schema version 2"));
  EXPECT_THAT(refused(R"({"context": {"lcnn_schema_version": 1}, "rows": [{"name": "a"}]})"),
              HasSubstr("row 1 has no"));
  EXPECT_THAT(refused(R"({"context": {"lcnn_schema_version": 1}, "rows": [["a"]]})"),
              HasSubstr("a row is a list"));
  EXPECT_THAT(refused(R"({"benchmarks": [["a"]]})"), HasSubstr("a row is a list"));
  EXPECT_THAT(refused(std::string(100'000, '[')), HasSubstr("is no report"));
  EXPECT_THAT(refused("{\"context\":" + std::string(100'000, '[')), HasSubstr("nested"));
  EXPECT_THAT(refused(R"({"benchmarks": [{"name": ")" + std::string(5000, 'x') + "\"}]}"),
              HasSubstr("5000 characters"));
}

TEST_F(ReadReportTest, NaNAndInfinityAreNoJson) {
  for (const char* token : {"NaN", "nan", "Infinity", "-Infinity", "1e999"}) {
    EXPECT_THAT(refused(fmt::format(R"({{"benchmarks": [{{"name": "a", "real_time": {}}}]}})", token)),
                HasSubstr("is no JSON"))
        << token;
  }
}

TEST_F(ReadReportTest, RowsMeasuredUnderTheProfilerAreCountedAndLeftOut) {
  auto document = fixture();
  const std::size_t all = document["rows"].size();
  const std::string name = document["rows"][1]["name"];
  document["rows"][1]["profiled"] = {{"unprofiled_median_us", 1.0}, {"overhead", 0.5}};
  const std::string path = folder_.file("profiled.json", document);
  const Report report = read_report(path);
  EXPECT_EQ(report.profiled, 1u);
  EXPECT_EQ(report.rows.size(), all - 1);
  for (const Row& row : report.rows) EXPECT_NE(row.name, name);
  const Comparison comparison = compare(read_report(kFixture), report, {}, {});
  EXPECT_THAT(comparison.removed, testing::ElementsAre(name));
  EXPECT_THAT(comparison.differences, testing::Contains(HasSubstr("1 rows were measured under the profiler")));
  EXPECT_THAT(refusal([&] { merge({path, kFixture}); }), HasSubstr("profiler"));
}

TEST_F(ReadReportTest, DuplicateNamesAreRefused) {
  auto document = fixture();
  document["rows"][1]["name"] = document["rows"][0]["name"] = "a\nb";
  EXPECT_THAT(refused(document.dump()), HasSubstr("two rows are named a\\x0ab"));
}

TEST_F(ReadReportTest, GoogleBenchmarkRepetitionsAreSamples) {
  const Report report = read_report(folder_.file("google.json", std::string(R"({
    "context": {"host_name": "h", "caches": [{"type": "Data"}]},
    "benchmarks": [
      {"name": "BM_a", "run_type": "iteration", "real_time": 2.5, "time_unit": "ms"},
      {"name": "BM_a", "run_type": "iteration", "real_time": 3.5, "time_unit": "ms"},
      {"name": "BM_a_mean", "run_type": "aggregate", "real_time": 3, "time_unit": "ms"},
      {"name": "BM_old", "real_time": 7000, "time_unit": "ns"},
      {"name": "BM_bad", "run_type": "iteration", "error_occurred": true, "error_message": "no"},
      {"name": "BM_skip", "run_type": "iteration", "skipped": true, "skip_message": "not here"}]})")));
  EXPECT_TRUE(report.google_benchmark);
  ASSERT_EQ(report.rows.size(), 4);
  EXPECT_THAT(report.rows[0].samples_us, testing::ElementsAre(2500, 3500));
  EXPECT_THAT(report.rows[1].samples_us, testing::ElementsAre(testing::DoubleEq(7)));
  EXPECT_EQ(report.rows[2].disposition, "error");
  EXPECT_EQ(report.rows[2].reason, "no");
  EXPECT_EQ(report.rows[3].disposition, "unsupported");
  EXPECT_THAT(refused(R"({"benchmarks": [{"name": "a", "real_time": 1, "time_unit": "days"}]})"),
              HasSubstr("unknown time_unit 'days'"));
}

}  // namespace
}  // namespace lcnn::reports
