#include "bench/report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "bench/statistics.h"
#include "bench/test_support.h"

namespace lcnn::bench {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kRepetitions = 9;

const MachineLimits kLimits{.copy_bytes_per_s = 5e10, .fma_per_s = 1e11};

Row conv2d() { return measured_row(VariantKind::conv2d, "library", 50); }
Row lookup() { return measured_row(VariantKind::lookup, "quick", 20); }
Row incorrect() {
  return failed_row(VariantKind::lookup, "wrong", Disposition::incorrect,
                    "rel_err 5.00e-01 is above the tolerance");
}
Row unsupported() {
  return failed_row(VariantKind::lookup, "picky", Disposition::unsupported, "dilation is not supported");
}

class ReportFile : public testing::Test {
 protected:
  nlohmann::ordered_json context(const Options& options = {}) {
    return make_context(*session_, options, kLimits);
  }
  Report start() { return Report(path(), context(), kRepetitions); }
  std::string path() const { return folder_ / "report.json"; }
  json written() const { return json::parse(read_text(path())); }
  std::vector<std::string> written_names() const {
    std::vector<std::string> names;
    const json report = written();
    for (const json& row : report["rows"]) names.push_back(row["name"]);
    return names;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Session> session_ = Session::open(Device::cpu, 1);
};

TEST_F(ReportFile, AMeasuredRowIsReadBackAsItWas) {
  start().add({lookup()});
  const json row = written()["rows"].at(0);
  EXPECT_EQ(row["name"], "Lookup/quick/set/layer/d4s1/n2/fp32");
  EXPECT_EQ(row["kind"], "lookup");
  EXPECT_EQ(row["variant"], "quick");
  EXPECT_EQ(row["computes"], "lookups");
  EXPECT_EQ(row["device"], "cpu");
  EXPECT_EQ(row["set"], "set");
  EXPECT_EQ(row["layer"], "layer");
  EXPECT_EQ(row["dictionary"], "d4s1");
  EXPECT_EQ(row["precision"], "fp32");
  EXPECT_EQ(row["layout"], "nchw");
  EXPECT_EQ(row["problem"],
            json::parse(R"({"batch": 2, "in_channels": 8, "height": 6, "width": 5, "out_channels": 16,
      "kernel": [3, 3], "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1, "bias": true,
      "granularity": "vector", "dictionary_size": 4, "sparsity": 1.0, "stored_lookups": 144})"));
  EXPECT_EQ(row["disposition"], "measured");
  EXPECT_EQ(row["reason"], nullptr);
  EXPECT_EQ(row["choice"], "strip of 8 rows");
  EXPECT_EQ(row["prepare_ms"], 0.25);
  EXPECT_EQ(row["verification"], json::parse(R"({"rel_err": 1e-7, "tolerance": 4e-7, "non_finite": 0,
      "tolerance_from": "Conv2d/library/set/layer/n2/fp32"})"));
  EXPECT_EQ(row["timing"]["median_us"], 20.0);
  EXPECT_EQ(row["timing"]["mad_us"], 0.2);
  EXPECT_EQ(row["timing"]["relative_uncertainty"], 0.004);
  EXPECT_EQ(row["timing"]["stable"], true);
  EXPECT_EQ(row["timing"]["runs_per_sample"], 10);
  EXPECT_EQ(row["timing"]["samples_us"].get<std::vector<double>>(), lookup().timing->samples_us);
  EXPECT_EQ(row["clocks"], nullptr);
  EXPECT_EQ(row["memory"], json::parse(R"({"weights_bytes": 1000, "input_bytes": 2000, "output_bytes": 3000,
      "workspace_bytes": 400, "prepared_bytes": 50, "peak_bytes": 6450})"));
  EXPECT_EQ(row["roofline"], json::parse(R"({"limit_us": 5.0, "bound": "bytes", "share": 0.25})"));
  EXPECT_EQ(row["operations"]["conv2d_multiplications"], 69120.0);
  EXPECT_EQ(row["operations"]["dictionary_multiplications"], 1920.0);
  EXPECT_EQ(row["operations"]["lookups"], 8640.0);
  EXPECT_EQ(row["operations"]["reduction"], 69120.0 / 10560);
  EXPECT_EQ(row["baseline"], "Conv2d/library/set/layer/n2/fp32");
  EXPECT_EQ(row["speedup"], 2.5);
  EXPECT_EQ(row["memory_ratio"], 1.25);
  EXPECT_EQ(row["memory_difference"], "workspace: 0.10 MB against 0.20 MB");
}

TEST_F(ReportFile, ClocksAreWrittenWhereTheDeviceTells) {
  Row row = lookup();
  row.clocks = Clocks{
      .sm_mhz_min = 1200, .sm_mhz_median = 1980, .throttle_reasons = {"hw_thermal"}, .throttled = true};
  EXPECT_EQ(json::parse(to_json(row).dump())["clocks"],
            json::parse(R"({"sm_mhz_min": 1200, "sm_mhz_median": 1980,
      "throttled": true, "throttle_reasons": ["hw_thermal"]})"));
}

TEST_F(ReportFile, ARowThatFailedHasItsReasonAndNoTime) {
  start().add({incorrect(), unsupported()});
  const json rows = written()["rows"];
  EXPECT_EQ(rows.at(0)["disposition"], "incorrect");
  EXPECT_EQ(rows.at(0)["reason"], "rel_err 5.00e-01 is above the tolerance");
  EXPECT_EQ(rows.at(0)["verification"]["rel_err"], 0.5);
  EXPECT_EQ(rows.at(1)["disposition"], "unsupported");
  EXPECT_EQ(rows.at(1)["reason"], "dilation is not supported");
  EXPECT_EQ(rows.at(1)["prepare_ms"], nullptr);
  EXPECT_EQ(rows.at(1)["memory"], nullptr);
  for (const json& row : rows) {
    for (const char* field :
         {"timing", "roofline", "baseline", "speedup", "memory_ratio", "memory_difference"}) {
      EXPECT_EQ(row[field], nullptr) << field;
    }
  }
}

TEST_F(ReportFile, GoogleBenchmarksPartHasOneEntryARepetitionAndOneAFailure) {
  start().add({conv2d(), incorrect(), unsupported()});
  const json benchmarks = written()["benchmarks"];
  ASSERT_EQ(benchmarks.size(), kRepetitions + 1u) << "unsupported rows have none";
  for (int i = 0; i < kRepetitions; ++i) {
    const json& entry = benchmarks[i];
    EXPECT_EQ(entry["name"], conv2d().name);
    EXPECT_EQ(entry["repetition_index"], i);
    EXPECT_EQ(entry["real_time"], repetition_times(conv2d(), kRepetitions)[i]);
    EXPECT_EQ(entry["time_unit"], "us");
    EXPECT_EQ(entry["peak_bytes"], 6450);
    EXPECT_FALSE(entry.contains("error_occurred"));
  }
  EXPECT_EQ(benchmarks.back()["name"], incorrect().name);
  EXPECT_EQ(benchmarks.back()["error_occurred"], true);
  EXPECT_EQ(benchmarks.back()["error_message"], incorrect().reason);
}

TEST_F(ReportFile, AProfiledRowIsMarkedHasNoEntryInBenchmarksAndIsNotResumed) {
  Row row = lookup();
  row.profiled = Profiled{.unprofiled_median_us = 16, .overhead = 0.25};
  start().add({row, conv2d()});
  const json report = written();
  EXPECT_EQ(report["rows"][0]["profiled"], json::parse(R"({"unprofiled_median_us": 16.0, "overhead": 0.25})"));
  EXPECT_FALSE(report["rows"][1].contains("profiled"));
  for (const json& entry : report["benchmarks"]) EXPECT_EQ(entry["name"], conv2d().name);
  EXPECT_THAT(refusal([&] { Report::resume(path(), report["context"], kRepetitions); }), testing::HasSubstr("profiler"));
}

TEST_F(ReportFile, NumbersThatAreNotFiniteBecomeNull) {
  Row row = lookup();
  row.timing->relative_uncertainty = kInfinity;
  row.roofline->share = kInfinity;
  row.speedup = kNan;
  row.memory_ratio = -kInfinity;
  Row wrong = incorrect();
  wrong.verification->rel_err = kNan;
  start().add({row, wrong});
  const json rows = written()["rows"];
  EXPECT_EQ(rows.at(0)["timing"]["relative_uncertainty"], nullptr);
  EXPECT_EQ(rows.at(0)["roofline"]["share"], nullptr);
  EXPECT_EQ(rows.at(0)["speedup"], nullptr);
  EXPECT_EQ(rows.at(0)["memory_ratio"], nullptr);
  EXPECT_EQ(rows.at(1)["verification"]["rel_err"], nullptr);
}

TEST_F(ReportFile, TheContextSaysWhatProducedTheRows) {
  Options options;
  options.mode = TimingMode::cold;
  options.seed = 77;
  options.command_line = "lcnn_bench --timing=cold";
  Report(path(), context(options), kRepetitions).add({lookup()});
  const json found = written()["context"];
  EXPECT_EQ(found["lcnn_schema_version"], kReportSchemaVersion);
  EXPECT_EQ(found["device"]["kind"], "cpu");
  EXPECT_EQ(found["host_name"], found["device"]["name"]);
  EXPECT_EQ(found["limits"]["copy_bytes_per_s"], 5e10);
  EXPECT_EQ(found["limits"]["fp16_mac_per_s"], nullptr) << "a CPU session measures no matrix units";
  EXPECT_EQ(found["timing"]["mode"], "cold");
  EXPECT_EQ(found["timing"]["seed"], 77);
  EXPECT_EQ(found["timing"]["threads"], 1);
  EXPECT_EQ(found["command_line"], "lcnn_bench --timing=cold");
}

TEST_F(ReportFile, NothingIsWrittenBeforeTheFirstRow) {
  write_text(path(), "an earlier report");
  const Report report = start();
  EXPECT_EQ(read_text(path()), "an earlier report");
}

TEST_F(ReportFile, IsValidAfterEveryAddAndLeavesNoOtherFile) {
  Report report = start();
  std::vector<std::string> names;
  for (const Row& row : {conv2d(), lookup(), incorrect(), unsupported()}) {
    report.add({row});
    names.push_back(row.name);
    EXPECT_EQ(written_names(), names);
    EXPECT_THAT(folder_.names(), ElementsAre("report.json"));
  }
  EXPECT_EQ(report.finished(), names);
}

TEST_F(ReportFile, WhatAKilledRunLeftBesideItIsCleanedUp) {
  write_text(path() + ".tmp", "{\"cont");
  start().add({lookup()});
  EXPECT_THAT(folder_.names(), ElementsAre("report.json"));
  EXPECT_THAT(written_names(), ElementsAre(lookup().name));
}

TEST_F(ReportFile, WithoutAPathNothingIsWritten) {
  Report report("", context(), kRepetitions);
  report.add({lookup()});
  EXPECT_THAT(report.finished(), ElementsAre(lookup().name));
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST_F(ReportFile, ARowThatIsThereAlreadyStaysAsItWas) {
  Report report = start();
  report.add({conv2d()});
  Row again = conv2d();
  again.prepare_ms = 99;
  report.add({again, lookup()});
  EXPECT_THAT(written_names(), ElementsAre(conv2d().name, lookup().name));
  EXPECT_EQ(written()["rows"].at(0)["prepare_ms"], 0.25);
  EXPECT_EQ(written()["benchmarks"].size(), 2u * kRepetitions);
}

TEST_F(ReportFile, ResumingKeepsWhatIsThereToTheByte) {
  Row awkward = conv2d();
  awkward.timing->median_us = 0.1 + 0.2;
  awkward.verification->rel_err = 4.9406564584124654e-324;
  awkward.choice = "tile \"8x8\"\t\xC3\xA9";
  start().add({awkward, incorrect()});
  const std::string before = read_text(path());
  Report resumed = Report::resume(path(), context(), kRepetitions);
  EXPECT_THAT(resumed.finished(), ElementsAre(awkward.name, incorrect().name));
  EXPECT_EQ(read_text(path()), before) << "nothing is written before the next row";
  resumed.add({lookup()});
  EXPECT_THAT(written_names(), ElementsAre(awkward.name, incorrect().name, lookup().name));
  const std::string rows_before =
      before.substr(before.find("\"rows\": ["), before.rfind("\n]\n}") - before.find("\"rows\": ["));
  EXPECT_THAT(read_text(path()), HasSubstr(rows_before));
  EXPECT_EQ(written()["benchmarks"].size(), 2u * kRepetitions + 1);
}

TEST_F(ReportFile, ResumingWhereThereIsNoneStartsOne) {
  Report report = Report::resume(path(), context(), kRepetitions);
  EXPECT_THAT(report.finished(), IsEmpty());
  report.add({lookup()});
  EXPECT_THAT(written_names(), ElementsAre(lookup().name));
}

TEST_F(ReportFile, ResumingRefusesAReportOfOtherConditions) {
  start().add({conv2d()});
  const std::string before = read_text(path());
  for (const auto& [pointer, other] :
       {std::pair<const char*, json>{"/lcnn_schema_version", kReportSchemaVersion + 1},
        {"/device/name", "another machine"},
        {"/timing/mode", "hot"},
        {"/timing/seed", 2},
        {"/timing/threads", 64},
        {"/git/commit", "0123456789abcdef"}}) {
    json report = json::parse(before);
    const json here = report["context"][json::json_pointer(pointer)];
    report["context"][json::json_pointer(pointer)] = other;
    const std::string text = report.dump();
    write_text(path(), text);
    EXPECT_THAT(
        refusal([&] { Report::resume(path(), context(), kRepetitions); }),
        AllOf(HasSubstr(path()), HasSubstr(pointer + 1), HasSubstr(other.dump()), HasSubstr(here.dump())));
    EXPECT_EQ(read_text(path()), text) << "what is refused is not touched";
  }
}

TEST_F(ReportFile, ResumingRefusesWhatIsNoReport) {
  start().add({conv2d()});
  json without_names = written(), without_context = written();
  without_names["rows"][0].erase("name");
  without_context["context"] = nullptr;
  for (const std::string& text :
       {std::string(), std::string("not a report"), read_text(path()).substr(0, 900), std::string("[]"),
        std::string("{}"), std::string(R"({"context": {}, "benchmarks": []})"),
        std::string(R"({"context": {}, "benchmarks": [], "rows": 5})"),
        std::string(R"({"context": {}, "benchmarks": [], "rows": [5]})"), without_names.dump(),
        without_context.dump(),
        std::string(R"({"context": {}, "benchmarks": [], "rows": [], "huge": 1e999})")}) {
    write_text(path(), text);
    EXPECT_THAT(refusal([&] { Report::resume(path(), context(), kRepetitions); }),
                AllOf(HasSubstr(path()), HasSubstr("cannot be resumed")))
        << text;
    EXPECT_EQ(read_text(path()), text);
  }
}

TEST_F(ReportFile, AFolderThatIsMissingOrInThePlaceOfTheFileIsRefused) {
  const std::string missing = folder_ / "no/such/report.json", folder = folder_ / "";
  for (const std::string& bad : {missing, folder}) {
    EXPECT_THAT(refusal<std::runtime_error>([&] { Report(bad, context(), kRepetitions); }),
                AllOf(HasSubstr("--report="), HasSubstr(bad)));
    EXPECT_THAT(refusal<std::runtime_error>([&] { require_writable("--benchmark_out", bad); }),
                AllOf(HasSubstr("--benchmark_out="), HasSubstr(bad)));
  }
  EXPECT_THAT(folder_.names(), IsEmpty());
}

TEST(RepetitionTimes, AreMediansOfConsecutiveSamples) {
  Row row = lookup();
  row.timing->samples_us = {5, 1, 3, 20, 40, 30, 7, 9, 8};
  EXPECT_THAT(repetition_times(row, 3), ElementsAre(3, 30, 8));
  EXPECT_THAT(repetition_times(row, 1), ElementsAre(median(row.timing->samples_us)));
  EXPECT_THAT(repetition_times(row, 2), ElementsAre(4, 9));  // of the first four, of the last five
}

TEST(RepetitionTimes, EverySampleIsUsedOnceAndFewSamplesAreFewRepetitions) {
  Row row = lookup();
  row.timing->samples_us = {1, 2, 3, 4, 5};
  EXPECT_THAT(repetition_times(row, 9), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(repetition_times(row, 5), ElementsAre(1, 2, 3, 4, 5));
}

}  // namespace
}  // namespace lcnn::bench
