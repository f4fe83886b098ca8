// What the program writes and reports/schema.json, held against each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "bench/report.h"
#include "reports/schema.h"
#include "bench/test_support.h"

namespace lcnn::bench {
namespace {

using nlohmann::json;
using testing::IsEmpty;
using testing::Not;

class ReportSchema : public testing::Test {
 protected:
  void SetUp() override {
    if (!reports::schema_violations(json()).has_value()) GTEST_SKIP() << reports::kWhyNoSchema;
  }
};

Row measured_conv2d() {
  Row row = measured_row(VariantKind::conv2d, "library", 50);
  row.verification->tolerance_from = "precision";
  return row;
}

// A report as the program writes it: every disposition, and all that may be null.
json written(const std::vector<Row>& rows) {
  const TemporaryFolder folder;
  const std::string path = folder / "report.json";
  const auto session = Session::open(Device::cpu, 1);
  Options options;
  options.command_line = "lcnn_bench";
  Report(path, make_context(*session, options, {.copy_bytes_per_s = 5e10, .fma_per_s = 1e11}),
         options.repetitions)
      .add(rows);
  return json::parse(read_text(path));
}

std::vector<Row> rows_of_every_kind() {
  Row on_gpu = measured_row(VariantKind::peer, "clocked", 10);
  on_gpu.clocks = Clocks{.sm_mhz_min = 1200, .sm_mhz_median = 1980, .throttle_reasons = {"power_cap"}};
  Row not_finite =
      failed_row(VariantKind::lookup, "poisoned", Disposition::incorrect, "7 elements are not finite");
  not_finite.verification->rel_err = std::numeric_limits<double>::quiet_NaN();
  not_finite.verification->non_finite = 7;
  Row unprepared = failed_row(VariantKind::lookup, "unprepared", Disposition::error, "out of memory");
  unprepared.verification.reset();
  unprepared.memory.reset();
  unprepared.choice = "";
  Row profiled = measured_row(VariantKind::lookup, "profiled", 20);
  profiled.baseline = profiled.memory_difference = "";
  profiled.speedup.reset();
  profiled.memory_ratio.reset();
  profiled.profiled = Profiled{.unprofiled_median_us = 18, .overhead = 20.0 / 18 - 1};
  Row alone = measured_row(VariantKind::lookup, "alone", 20);
  alone.baseline = alone.memory_difference = "";
  alone.speedup.reset();
  alone.memory_ratio.reset();
  Row few_samples = measured_row(VariantKind::lookup, "few_samples", 20);
  few_samples.timing->samples_us = {20, 21};
  few_samples.timing->relative_uncertainty = std::numeric_limits<double>::infinity();
  few_samples.roofline = Roofline{.limit_us = std::numeric_limits<double>::infinity(), .bound = "operations",
                                  .share = std::numeric_limits<double>::infinity()};
  return {measured_conv2d(),
          measured_row(VariantKind::lookup, "quick", 20),
          on_gpu,
          failed_row(VariantKind::lookup, "wrong", Disposition::incorrect, "rel_err is above the tolerance"),
          not_finite,
          failed_row(VariantKind::peer, "broken", Disposition::error, "a run failed"),
          unprepared,
          failed_row(VariantKind::lookup, "picky", Disposition::unsupported, "dilation is not supported"),
          profiled,
          alone,
          few_samples,
          measured_training_row(VariantKind::conv2d, 5000),
          measured_training_row(VariantKind::lookup, 9000)};
}

TEST_F(ReportSchema, ReportsOfEveryDispositionAreValid) {
  EXPECT_THAT(*reports::schema_violations(written(rows_of_every_kind())), IsEmpty());
  EXPECT_THAT(*reports::schema_violations(written({measured_conv2d()})), IsEmpty());
}

// Row 0 is measured, row 1 incorrect, row 2 unsupported; their entries in benchmarks are 0 to 8 and 9.
struct Violation {
  const char* what;
  std::function<void(json& report)> plant;
};

TEST_F(ReportSchema, PlantedViolationsAreFound) {
  const json valid =
      written({measured_conv2d(),
               failed_row(VariantKind::lookup, "wrong", Disposition::incorrect, "above the tolerance"),
               failed_row(VariantKind::lookup, "picky", Disposition::unsupported, "no dilation")});
  ASSERT_THAT(*reports::schema_violations(valid), IsEmpty());
  const Violation violations[] = {
      {"no rows", [](json& r) { r.erase("rows"); }},
      {"no benchmarks", [](json& r) { r.erase("benchmarks"); }},
      {"another field beside rows", [](json& r) { r["summary"] = 1; }},
      {"another schema version", [](json& r) { r["context"]["lcnn_schema_version"] = 2; }},
      {"no device", [](json& r) { r["context"].erase("device"); }},
      {"a device field that is no text", [](json& r) { r["context"]["device"]["driver"] = 580; }},
      {"an unknown limit", [](json& r) { r["context"]["limits"]["fp8_mac_per_s"] = 1e15; }},
      {"a rate of 0", [](json& r) { r["context"]["limits"]["copy_bytes_per_s"] = 0; }},
      {"an unknown timing mode", [](json& r) { r["context"]["timing"]["mode"] = "warm"; }},
      {"a date of another form", [](json& r) { r["context"]["date"] = "yesterday"; }},
      {"dirty as a text", [](json& r) { r["context"]["git"]["dirty"] = "true"; }},
      {"a field of a row missing", [](json& r) { r["rows"][0].erase("prepare_ms"); }},
      {"an unknown field of a row", [](json& r) { r["rows"][0]["verdict"] = "fast"; }},
      {"an unknown field of timing", [](json& r) { r["rows"][0]["timing"]["mean_us"] = 1; }},
      {"a field of memory missing", [](json& r) { r["rows"][0]["memory"].erase("workspace_bytes"); }},
      {"negative bytes", [](json& r) { r["rows"][0]["memory"]["workspace_bytes"] = -1; }},
      {"a name of another form", [](json& r) { r["rows"][0]["name"] = "conv2d/library"; }},
      {"a kind that its name belies", [](json& r) { r["rows"][0]["kind"] = "lookup"; }},
      {"an unknown precision", [](json& r) { r["rows"][0]["precision"] = "fp8"; }},
      {"an unknown disposition", [](json& r) { r["rows"][0]["disposition"] = "skipped"; }},
      {"a kernel of three", [](json& r) { r["rows"][0]["problem"]["kernel"] = {3, 3, 3}; }},
      {"a measured row without timing", [](json& r) { r["rows"][0]["timing"] = nullptr; }},
      {"a measured row without verification", [](json& r) { r["rows"][0]["verification"] = nullptr; }},
      {"a measured row without memory", [](json& r) { r["rows"][0]["memory"] = nullptr; }},
      {"a layer's row that is called a training step", [](json& r) { r["rows"][0]["computes"] = "training_step"; }},
      {"a layer's row without operations", [](json& r) { r["rows"][0]["operations"] = nullptr; }},
      {"a measured row without roofline", [](json& r) { r["rows"][0]["roofline"] = nullptr; }},
      {"a measured row with a reason", [](json& r) { r["rows"][0]["reason"] = "none"; }},
      {"a measured row whose error is not finite",
       [](json& r) { r["rows"][0]["verification"]["rel_err"] = nullptr; }},
      {"a measured row that is not finite", [](json& r) { r["rows"][0]["verification"]["non_finite"] = 1; }},
      {"a median that is not finite", [](json& r) { r["rows"][0]["timing"]["median_us"] = nullptr; }},
      {"a sample that is not finite", [](json& r) { r["rows"][0]["timing"]["samples_us"][2] = nullptr; }},
      {"no samples", [](json& r) { r["rows"][0]["timing"]["samples_us"] = json::array(); }},
      {"a speed-up without a baseline", [](json& r) { r["rows"][0]["baseline"] = nullptr; }},
      {"a baseline without a speed-up", [](json& r) { r["rows"][0]["speedup"] = nullptr; }},
      {"a profiled row with a speed-up",
       [](json& r) { r["rows"][0]["profiled"] = {{"unprofiled_median_us", 1.0}, {"overhead", 0.1}}; }},
      {"a profiled row that does not say what it cost", [](json& r) { r["rows"][0]["profiled"] = json::object(); }},
      {"an incorrect row with timing", [](json& r) { r["rows"][1]["timing"] = r["rows"][0]["timing"]; }},
      {"an incorrect row without a reason", [](json& r) { r["rows"][1]["reason"] = nullptr; }},
      {"an incorrect row with an empty reason", [](json& r) { r["rows"][1]["reason"] = ""; }},
      {"an incorrect row without verification", [](json& r) { r["rows"][1]["verification"] = nullptr; }},
      {"an incorrect row with a speed-up", [](json& r) { r["rows"][1]["speedup"] = 2.0; }},
      {"an unsupported row that was prepared", [](json& r) { r["rows"][2]["prepare_ms"] = 1.0; }},
      {"a repetition without time", [](json& r) { r["benchmarks"][0].erase("real_time"); }},
      {"a repetition of no time", [](json& r) { r["benchmarks"][0]["real_time"] = 0; }},
      {"a repetition in another unit", [](json& r) { r["benchmarks"][0]["time_unit"] = "ms"; }},
      {"a failure with time", [](json& r) { r["benchmarks"][9]["real_time"] = 1.0; }},
      {"a failure without a message", [](json& r) { r["benchmarks"][9].erase("error_message"); }},
  };
  for (const Violation& violation : violations) {
    json report = valid;
    violation.plant(report);
    EXPECT_THAT(*reports::schema_violations(report), Not(IsEmpty())) << violation.what;
  }
}

TEST_F(ReportSchema, PlantedViolationsOfTrainingRowsAreFound) {
  const json valid = written({measured_training_row(VariantKind::conv2d, 5000), measured_training_row(VariantKind::lookup, 9000)});
  ASSERT_THAT(*reports::schema_violations(valid), IsEmpty());
  const json layer = written({measured_conv2d()})["rows"][0];
  const Violation violations[] = {
      {"a layer for its problem", [&](json& r) { r["rows"][0]["problem"] = layer["problem"]; }},
      {"a network's field missing", [](json& r) { r["rows"][0]["problem"].erase("parameters"); }},
      {"an unknown field of a network", [](json& r) { r["rows"][0]["problem"]["kernel"] = 3; }},
      {"a layer's name", [](json& r) { r["rows"][0]["name"] = "Conv2d/library/set/layer/n2/fp32"; }},
      {"operations", [&](json& r) { r["rows"][0]["operations"] = layer["operations"]; }},
      {"a roofline", [&](json& r) { r["rows"][1]["roofline"] = layer["roofline"]; }},
      {"a peer", [](json& r) { r["rows"][1]["kind"] = "peer"; }},
      {"a layer's function", [](json& r) { r["rows"][1]["computes"] = "lookups"; }},
      {"no verification", [](json& r) { r["rows"][1]["verification"] = nullptr; }},
  };
  for (const Violation& violation : violations) {
    json report = valid;
    violation.plant(report);
    EXPECT_THAT(*reports::schema_violations(report), Not(IsEmpty())) << violation.what;
  }
}

TEST_F(ReportSchema, DevicesMayDescribeThemselvesAndContextsMayGrow) {
  json report = written({measured_conv2d()});
  report["context"]["device"]["compute_capability"] = "9.0";
  report["context"]["library_version"] = "v1.9.0";
  EXPECT_THAT(*reports::schema_violations(report), IsEmpty());
}

TEST_F(ReportSchema, CommittedReferenceReportsAreValid) {
  int reports = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(LCNN_REFERENCE_PATH)) {
    if (entry.path().extension() != ".json") continue;
    EXPECT_THAT(*reports::schema_violations(json::parse(read_text(entry.path()))), IsEmpty()) << entry.path();
    ++reports;
  }
  if (reports == 0) GTEST_SKIP() << "no reference report is committed";
}

}  // namespace
}  // namespace lcnn::bench
