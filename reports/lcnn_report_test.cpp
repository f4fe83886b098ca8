// The program itself: exit codes, options, refusals.
#include <gmock/gmock.h>

#include "reports/reports_test_support.h"
#include "reports/schema.h"

namespace lcnn::reports {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

class LcnnReportTest : public testing::Test {
 protected:
  Outcome compare(const ordered_json& now, const std::string& options = "") {
    return lcnn_report(fmt::format("compare {} {} {}", kFixture, folder_.file("now.json", now), options));
  }
  // One line on standard error, and exit code 2.
  static void expect_refused(const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.code, 2) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << outcome.output;
  }
  TemporaryFolder folder_;
};

TEST_F(LcnnReportTest, SameIsZeroSlowerIsOneFasterIsZero) {
  ordered_json now = fixture();
  EXPECT_EQ(compare(now).code, 0);
  slow_down(now["rows"][4], 1.1);
  const Outcome slower = compare(now);
  EXPECT_EQ(slower.code, 1);
  EXPECT_THAT(slower.output, HasSubstr("1 of 6 rows are worse"));
  slow_down(now["rows"][4], 0.8);
  EXPECT_EQ(compare(now).code, 0);
}

TEST_F(LcnnReportTest, WhereConv2dIsSlowerTooTheMachineWas) {
  ordered_json now = fixture();
  for (auto& row : now["rows"]) {
    if (row["timing"].is_object()) slow_down(row, 1.2);
  }
  const Outcome outcome = compare(now);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("but so was the machine: Conv2d beside it took 1.20 times as long"));
  slow_down(now["rows"][4], 1.1);
  EXPECT_EQ(compare(now).code, 1);
  now["context"]["device"]["cudnn"] = "92000";  // another library: Conv2d is no witness
  EXPECT_THAT(compare(now).output, HasSubstr("5 of 6 rows are worse"));
}

TEST_F(LcnnReportTest, ARowThatFailsIsARegression) {
  ordered_json now = fixture();
  now["rows"][0]["disposition"] = "incorrect";
  now["rows"][0]["reason"] = "too far off";
  const Outcome outcome = compare(now);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("was measured, is incorrect: too far off"));
}

TEST_F(LcnnReportTest, EveryFormatGoesToAFileToo) {
  for (const char* format : {"console", "markdown", "json", "junit"}) {
    const std::string path = folder_ / "out";
    const Outcome printed = compare(fixture(), fmt::format("--format={}", format));
    const Outcome written = compare(fixture(), fmt::format("--format={} --output={}", format, path));
    EXPECT_EQ(written.code, 0);
    EXPECT_EQ(written.output, "");
    EXPECT_EQ(read_text(path), printed.output) << format;
  }
  expect_refused(compare(fixture(), "--output=" + (folder_ / "absent/out")), "cannot be written");
  EXPECT_EQ(compare(fixture(), "--format=html").code, 2);
  EXPECT_EQ(lcnn_report("").code, 2);
  EXPECT_EQ(lcnn_report("--help").code, 0);
}

TEST_F(LcnnReportTest, OtherConditionsAreRefusedOrMarked) {
  const auto check = [&](const std::string& kind, const ordered_json& now, const std::string& part) {
    expect_refused(compare(now), "--allow-different=" + kind);
    const Outcome allowed = compare(now, "--allow-different=" + kind);
    EXPECT_EQ(allowed.code, 0) << allowed.output;
    EXPECT_THAT(allowed.output, HasSubstr("DIFFERENT " + part));
  };
  ordered_json now = fixture();
  now["context"]["device"]["name"] = "another";
  check("device", now, "device/name: NVIDIA H100 80GB HBM3 and another");
  now = fixture();
  now["context"]["device"]["driver"] = "1.2";
  check("driver", now, "device/driver: 580.159.04 and 1.2");
  now = fixture();
  now["context"]["timing"]["mode"] = "hot";
  check("mode", now, "timing/mode: rotated and hot");
  now = fixture();
  for (auto& row : now["rows"]) {
    if (row["clocks"].is_object()) row["clocks"]["sm_mhz_median"] = 1500;
  }
  check("clocks", now, "median SM clock: 1980 and 1500 MHz");
  now = fixture();
  now["rows"][0]["precision"] = "tf32";
  check("precision", now, "precision of ");
  now["context"]["timing"]["mode"] = "hot";
  EXPECT_EQ(compare(now, "--allow-different=mode,precision").code, 0);
  EXPECT_EQ(compare(now, "--allow-different=all").code, 2);
}

TEST_F(LcnnReportTest, InputThatCannotBeComparedIsRefused) {
  ordered_json now = fixture();
  now["context"]["lcnn_schema_version"] = 2;
  expect_refused(compare(now), "has schema version 2");
  now = fixture();
  now.erase("rows");
  now["context"].erase("lcnn_schema_version");
  expect_refused(compare(now), "the other Google Benchmark's");
  now = fixture();
  for (auto& row : now["rows"]) row["name"] = row["name"].get<std::string>() + "/other";
  expect_refused(compare(now), "no row in common");
  expect_refused(lcnn_report(fmt::format("compare {} {}", kFixture, folder_ / "absent")), "No such file");
}

TEST_F(LcnnReportTest, Thresholds) {
  ordered_json now = fixture();
  slow_down(now["rows"][4], 1.1);
  const std::string loose =
      folder_.file("t.json", std::string(R"({"rows": [{"name": "^Lookup/", "time": 0.2}]})"));
  EXPECT_EQ(compare(now, "--thresholds=" + loose).code, 0);
  const std::string wrong = folder_.file("t.json", std::string(R"({"row": []})"));
  expect_refused(compare(now, "--thresholds=" + wrong), "t.json: row: is unknown");
}

TEST_F(LcnnReportTest, GoogleBenchmarkReports) {
  const auto google = [&](const std::string& name, std::size_t repetitions, double time) {
    ordered_json report{{"context", {{"host_name", "h"}, {"num_cpus", 2}}},
                        {"benchmarks", ordered_json::array()}};
    for (std::size_t i = 0; i < repetitions; ++i) {
      report["benchmarks"].push_back(
          {{"name", "BM_a"}, {"run_type", "iteration"}, {"real_time", time + 0.01 * i}, {"time_unit", "ns"}});
    }
    return folder_.file(name, report);
  };
  const std::string base = google("base.json", 9, 10);
  EXPECT_EQ(lcnn_report(fmt::format("compare {} {}", base, google("now.json", 9, 10.1))).code, 0);
  EXPECT_EQ(lcnn_report(fmt::format("compare {} {}", base, google("now.json", 9, 12))).code, 1);
  expect_refused(lcnn_report(fmt::format("compare {} {}", base, google("now.json", 3, 12))),
                 "NEW has 3 samples, 5 are needed");
}

TEST_F(LcnnReportTest, Validate) {
  if (!schema_violations(nlohmann::json::object())) {
    expect_refused(lcnn_report("validate " + kFixture), kWhyNoSchema);
    return;
  }
  EXPECT_EQ(lcnn_report("validate " + kFixture).output, kFixture + ": valid\n");
  ordered_json wrong = fixture();
  wrong["rows"][1]["disposition"] = "fine";
  const Outcome outcome =
      lcnn_report(fmt::format("validate {} {}", kFixture, folder_.file("wrong.json", wrong)));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("[disposition]"));
  expect_refused(lcnn_report("validate " + folder_.file("cut.json", std::string("{\"rows\": ["))),
                 "is no JSON");
}

TEST_F(LcnnReportTest, RenderIsThePythonProgram) {
  if (std::system("python3 --version > /dev/null 2>&1") != 0) {
    expect_refused(lcnn_report("render " + kFixture), "render needs python3");
    return;
  }
  const std::string out = folder_ / "out.md";
  const Outcome outcome = lcnn_report(fmt::format("render {} --format=markdown --output={}", kFixture, out));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_THAT(read_text(out), HasSubstr("| fp32 | 146.1 (cudnn) | 191.1 (precompute_gather)"));
  expect_refused(lcnn_report("render --format=csv " + (folder_ / "absent")), "absent: No such file");
  EXPECT_EQ(lcnn_report("render --format=pdf " + kFixture).code, 2);
  EXPECT_THAT(lcnn_report("render --help").output, HasSubstr("--output"));
}

TEST_F(LcnnReportTest, PartsOfAFileAreJudgedAsTheWholeIs) {
  if (!schema_violations(nlohmann::json::object())) GTEST_SKIP() << kWhyNoSchema;
  std::vector<ordered_json> wrong(9, fixture());
  wrong[0]["rows"][2]["memory"]["peak_bytes"] = -1;
  wrong[1]["benchmarks"][3].erase("name");
  wrong[2]["context"]["git"]["commit"] = 3;
  wrong[3].erase("benchmarks");
  wrong[4]["rows"] = ordered_json::object({{"a", ordered_json::object()}});
  wrong[5]["rows"][1] = 3;
  wrong[6]["rows"][1] = ordered_json::array({1, 2});
  wrong[7]["more"] = {{"a", {1, {{"b", nullptr}}}}};
  wrong[8]["rows"] = 3;
  for (const ordered_json& report : wrong) {
    const auto violations = *schema_violations_of_file(folder_.file("wrong.json", report));
    EXPECT_FALSE(violations.empty()) << report.dump().substr(0, 200);
    EXPECT_FALSE(schema_violations(nlohmann::json(report))->empty());
  }
  EXPECT_THAT(schema_violations_of_file(folder_.file("wrong.json", wrong[0]))->front(),
              testing::StartsWith("<root>[rows][2][memory]"));
}

TEST(SchemaTest, TheProgramHoldsTheFile) {
  EXPECT_EQ(schema_text(), read_text(LCNN_REPORTS_FOLDER "/schema.json"));
}

}  // namespace
}  // namespace lcnn::reports
