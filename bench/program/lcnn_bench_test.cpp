// lcnn_bench as its users meet it: the program itself is run, and its output, exit code and files are read.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "bench/test_support.h"
#include "reports/schema.h"
#include "reports/test_program.h"

namespace lcnn::bench {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

Outcome run(const std::vector<std::string>& arguments) { return Program(LCNN_BENCH_PATH, arguments).wait(); }

// A small layer of a file, with some fields added or replaced.
json small_layer(const std::string& name, const json& fields = json::object()) {
  json layer{{"name", name}, {"in_channels", 8}, {"out_channels", 8}, {"kernel", 3},
             {"padding", 1}, {"height", 8},      {"width", 8},        {"dictionary_size", 4}};
  layer.update(fields);
  return layer;
}

class LcnnBench : public testing::Test {
 protected:
  // A file of layers of this test's.
  std::string layers(const std::vector<json>& list, const std::string& name = "mine.json") const {
    write_text(folder_ / name, json(list).dump());
    return folder_ / name;
  }
  // What every measuring run here has: one thread, short samples.
  std::vector<std::string> measuring(const std::string& workload,
                                     const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"--device=cpu", "--threads=1", "--benchmark_min_time=0.01",
                                       "--workload=" + workload};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::string report_path() const { return folder_ / "report.json"; }
  json written() const { return json::parse(read_text(report_path())); }

  TemporaryFolder folder_;
};

std::vector<std::string> names_of(const json& rows) {
  std::vector<std::string> names;
  for (const json& row : rows) names.push_back(row["name"]);
  return names;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The rows of a report as they stand in the file, one a line, by name.
std::map<std::string, std::string> row_lines(const std::string& report) {
  std::map<std::string, std::string> found;
  const std::string rows = report.substr(report.find("\"rows\": ["));
  for (std::string line : lines_of(rows)) {
    if (!line.starts_with("{")) continue;
    if (line.ends_with(",")) line.pop_back();
    const std::string name = json::parse(line)["name"];
    EXPECT_TRUE(found.emplace(name, line).second) << name << " appears twice";
  }
  return found;
}

bool has_rows(const std::string& path) {
  const json report = json::parse(read_text(path), nullptr, /*allow_exceptions=*/false);
  return report.is_object() && !report["rows"].empty();
}

void expect_valid(const json& report) {
  if (const auto violations = reports::schema_violations(report)) {
    EXPECT_THAT(*violations, IsEmpty());
  }
}

TEST_F(LcnnBench, TheOriginalsLayerAtSmallSizeIsMeasuredByEveryVariant) {
  const json layer{
      {"name", "64-128@28"}, {"in_channels", 64},      {"out_channels", 128}, {"kernel", 3},
      {"padding", 1},        {"height", 28},           {"width", 28},         {"dictionary_size", 10},
      {"sparsity", 1},       {"granularity", "filter"}};
  const std::string workload = layers({layer}, "seed.json");
  const Outcome outcome = run(measuring(workload, {"--report=" + report_path()}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;

  std::set<std::string> measured;
  const json report = written();
  for (const json& row : report["rows"]) {
    EXPECT_THAT((std::vector<std::string>{"measured", "unsupported"}), Contains(row["disposition"]))
        << row["reason"];
    if (row["disposition"] != "measured") continue;
    measured.insert(row["variant"]);
    EXPECT_LE(row["verification"]["rel_err"].get<double>(), row["verification"]["tolerance"].get<double>())
        << row["name"];
    EXPECT_EQ(row["operations"]["dictionary_multiplications"], 10.0 * 64 * 9 * 28 * 28);
    EXPECT_EQ(row["operations"]["lookups"], 128.0 * 28 * 28);
    EXPECT_EQ(row["memory"]["input_bytes"], 64 * 28 * 28 * 4);
    EXPECT_EQ(row["memory"]["output_bytes"], 128 * 28 * 28 * 4);
  }
  for (const char* variant : {"naive_sparse", "shared_tiled", "precompute_gather", "onednn", "onednn_blocked",
                              "two_convolutions"}) {
    EXPECT_THAT(measured, Contains(variant));
  }
  expect_valid(report);

  // The original's four lines, and the table.
  for (const char* line : {"\nConv2d - Avg time: ", "\nLookupConv2d - Avg time: ", "\nSpeed difference: ",
                           "\nMemory difference: "}) {
    EXPECT_THAT(outcome.out, HasSubstr(line));
  }
  EXPECT_THAT(outcome.out, HasSubstr("Lookup/naive_sparse/seed/64-128@28/d10s1/n1/fp32"));
  EXPECT_THAT(outcome.out, HasSubstr("unsupported: "));
}

TEST_F(LcnnBench, AFilterForLookupStillMeasuresTheBaselines) {
  const std::string workload = layers({small_layer("a")});
  const Outcome outcome =
      run(measuring(workload, {"--benchmark_filter=Lookup", "--layout=nchw", "--report=" + report_path()}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::map<std::string, int> measured;
  const json report = written();
  for (const json& row : report["rows"]) {
    if (row["disposition"] != "measured") continue;
    ++measured[row["kind"]];
    if (row["kind"] == "lookup") {
      EXPECT_THAT(row["baseline"].get<std::string>(), StartsWith("Conv2d/")) << row["name"];
    }
  }
  EXPECT_GE(measured["lookup"], 3);
  EXPECT_GE(measured["conv2d"], 1);
  EXPECT_EQ(measured["peer"], 0);
}

TEST_F(LcnnBench, RowsAreListedWithoutMeasuring) {
  const std::string workload = layers({small_layer("a"), small_layer("b")});
  const Outcome outcome = run({"--device=cpu", "--workload=" + workload, "--benchmark_list_tests",
                               "--benchmark_filter=naive", "--report=" + report_path()});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(lines_of(outcome.out),
              AllOf(Contains("Lookup/naive_sparse/mine/a/d4s1/n1/fp32"),
                    Contains("Conv2d/onednn/mine/b/n1/fp32"), Each(HasSubstr("/mine/"))));
  EXPECT_FALSE(std::filesystem::exists(report_path()));
}

TEST_F(LcnnBench, HelpIsPrinted) {
  const Outcome outcome = run({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("--workload"), HasSubstr("--benchmark_filter")));
}

TEST_F(LcnnBench, GoogleBenchmarksJsonHasOurNamesWithoutSuffixes) {
  const std::string workload = layers({small_layer("a")}), out = folder_ / "benchmark.json";
  const Outcome outcome =
      run(measuring(workload, {"--benchmark_filter=naive", "--layout=nchw", "--benchmark_format=json",
                               "--benchmark_out=" + out, "--benchmark_repetitions=3"}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const std::string& text : {outcome.out, read_text(out)}) {
    const json report = json::parse(text, nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(report.is_object()) << text;
    std::map<std::string, int> iterations;
    for (const json& entry : report["benchmarks"]) {
      if (entry["run_type"] != "iteration") continue;
      ++iterations[entry["name"]];
      EXPECT_GT(entry["real_time"].get<double>(), 0);
      EXPECT_EQ(entry["time_unit"], "us");
    }
    EXPECT_EQ(iterations["Lookup/naive_sparse/mine/a/d4s1/n1/fp32"], 3);
    EXPECT_EQ(iterations["Conv2d/onednn/mine/a/n1/fp32"], 3);
  }
}

TEST_F(LcnnBench, ProfilesPrintATableAndWriteATraceAndTheRowsAreMarked) {
  const std::string workload = layers({small_layer("a")}), name = folder_ / "profile";
  const Outcome outcome = run(measuring(workload, {"--benchmark_filter=two_convolutions", "--layout=nchw", "--profile=" + name,
                                                   "--profile-sort=calls", "--report=" + report_path()}));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* part : {"under the profiler", "Self CPU %", "# of Calls", "aten::", "measure", "profile.trace.json"}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
  EXPECT_THAT(folder_.names(), testing::ElementsAre("mine.json", "profile.table.json", "profile.trace.json", "report.json"));

  const json report = written();
  expect_valid(report);
  for (const json& row : report["rows"]) {
    if (row["disposition"] == "measured") {
      EXPECT_TRUE(row.contains("profiled")) << row["name"];
    }
  }
  EXPECT_EQ(report["benchmarks"].size(), 0u);

  const json table = json::parse(read_text(name + ".table.json"));
  EXPECT_EQ(table["incomplete"], nullptr);
  std::map<std::string, json> rows;
  for (const json& row : table["rows"]) rows[row["name"]] = row;
  EXPECT_EQ(rows["Peer/two_convolutions/mine/a/d4s1/n1/fp32"]["kind"], "range");
  EXPECT_GT(rows["aten::conv2d"]["calls"], 0);
  for (std::size_t i = 1; i < table["rows"].size(); ++i) {
    EXPECT_GE(table["rows"][i - 1]["calls"], table["rows"][i]["calls"]);
  }
  const json trace = json::parse(read_text(name + ".trace.json"));
  std::set<std::string> names;
  for (const json& event : trace["traceEvents"]) names.insert(event["name"].get<std::string>());
  EXPECT_THAT(names, testing::IsSupersetOf({"aten::conv2d", "prepare", "warm-up", "measure"}));
}

// The seed layer has a dictionary of its own, and neither of these.
TEST_F(LcnnBench, LayersWithoutADictionaryThatWasAskedForAreLeftOut) {
  const Outcome outcome = run({"--device=cpu", "--workload=race", "--dictionary=fast,accurate", "--benchmark_list_tests"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("64@56/fast/"), HasSubstr("64@56/accurate/"), Not(HasSubstr("seed"))));
}

// Arguments that cannot be used, and what the one line on stderr has to say.
struct BadInput {
  std::vector<std::string> arguments;
  std::vector<std::string> says;
};

class LcnnBenchRefuses : public LcnnBench {
 protected:
  // Exit code 2, one line, and whatever stood in the report's place stands there still.
  void expect_refused(const BadInput& bad) const {
    constexpr const char* kEarlier = "{\"an earlier\": \"report\"}";
    write_text(report_path(), kEarlier);
    std::vector<std::string> arguments = bad.arguments;
    if (std::ranges::none_of(arguments, [](const std::string& a) { return a.starts_with("--report"); })) {
      arguments.push_back("--report=" + report_path());
    }
    const Outcome outcome = run(arguments);
    const std::string shown = fmt::format("{}", fmt::join(arguments, " "));
    EXPECT_EQ(outcome.exit_code, 2) << shown;
    EXPECT_EQ(outcome.out, "") << shown;
    EXPECT_THAT(outcome.err, StartsWith("lcnn_bench: ")) << shown;
    EXPECT_EQ(lines_of(outcome.err).size(), 1u) << shown << "\n" << outcome.err;
    for (const std::string& part : bad.says) EXPECT_THAT(outcome.err, HasSubstr(part)) << shown;
    EXPECT_EQ(read_text(report_path()), kEarlier) << shown;
  }
};

TEST_F(LcnnBenchRefuses, OptionsThatItDoesNotKnowOrCannotUse) {
  const std::string cpu = "--device=cpu", small = "--workload=" + layers({small_layer("a")});
  for (const BadInput& bad :
       {BadInput{{"--reprot=x"}, {"--reprot=x", "--help"}},
        {{cpu, small, "--benchmark_fliter=x"}, {"--benchmark_fliter=x", "--help"}},
        {{cpu, small, "--benchmark_filter=("}, {"--benchmark_filter=("}},
        {{cpu, small, "--benchmark_filter=nothing"}, {"nothing", "--benchmark_list_tests"}},
        {{cpu, small, "--benchmark_out_format=xml"}, {"xml", "console, json or csv"}},
        {{cpu, small, "--benchmark_out=/no/such/folder/x.json"}, {"/no/such/folder/x.json"}},
        {{cpu, small, "--report=/no/such/folder/x.json"}, {"/no/such/folder/x.json"}},
        {{cpu, small, "--profile=/no/such/folder/x"}, {"/no/such/folder/x"}},
        {{cpu, small, "--profile-rows=3"}, {"--profile=NAME"}},
        {{cpu, small, "--dictionary=10"}, {"--dictionary=10", "SIZE:SPARSITY"}},
        {{cpu, small, "--dictionary=0:1"}, {"dictionary_size is 0"}},
        {{cpu, small, "--dictionary=accurate"}, {"--dictionary=accurate", "no layer", "SIZE:SPARSITY"}},
        {{cpu, small, "--precision=fp64"}, {"--precision=fp64", "fp32"}}}) {
    expect_refused(bad);
  }
}

TEST_F(LcnnBenchRefuses, LayersAndWorkloadsThatItDoesNotKnow) {
  expect_refused({{"--device=cpu", "--workload=resnet50"}, {"resnet50", "resnet18", "race"}});
  expect_refused({{"--device=cpu", "--workload=/no/such/layers.json"}, {"/no/such/layers.json"}});
}

TEST_F(LcnnBenchRefuses, FilesThatAreNoLayers) {
  write_text(folder_ / "cut.json", "[{\"name\": \"a\", \"in_ch");
  expect_refused(
      {{"--device=cpu", "--workload=" + folder_ / "cut.json"}, {"cut.json", "not JSON", "byte 22"}});
  expect_refused({{"--device=cpu", "--workload=" + layers({small_layer("a", {{"strides", 2}})})},
                  {"mine.json", "layer 0", "strides"}});
}

TEST_F(LcnnBenchRefuses, LayersThatCannotBeComputed) {
  const json good = small_layer("a");
  for (const auto& [fields, says] : {std::pair<json, std::string>{{{"kernel", 11}}, "kernel height 11"},
                                     {{{"groups", 3}}, "groups 3 does not divide"},
                                     {{{"dictionary_size", 0}}, "dictionary_size is 0"}}) {
    expect_refused({{"--device=cpu", "--workload=" + layers({good, small_layer("b", fields)})},
                    {"mine.json", "layer 1", says}});
  }
}

TEST_F(LcnnBenchRefuses, LayersThatNeedMoreMemoryThanThereIs) {
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  // Terabytes of input and output; of weights; and more than 64 bits count.
  for (const json& fields :
       {json{{"batch", 1000000}, {"height", 1000}, {"width", 1000}},
        json{{"in_channels", 1000000}, {"out_channels", 1000000}},
        json{{"batch", kMost}, {"height", kMost}, {"width", kMost}, {"in_channels", kMost}}}) {
    expect_refused({{"--device=cpu", "--workload=" + layers({small_layer("large", fields)})},
                    {"out of memory", "mine/large"}});
  }
}

TEST_F(LcnnBenchRefuses, CudaWhereThereIsNone) {
  const std::string workload = "--workload=" + layers({small_layer("a")});
  if (run({"--device=cuda", workload, "--benchmark_list_tests"}).exit_code == 0) {
    GTEST_SKIP() << "there is a CUDA device";
  }
  expect_refused({{"--device=cuda", workload}, {"--device=cuda"}});
}

TEST_F(LcnnBenchRefuses, ToResumeWhatIsNoReport) {
  const std::string workload = "--workload=" + layers({small_layer("a")});
  expect_refused({{"--device=cpu", workload, "--resume"}, {"report.json", "cannot be resumed"}});
}

class LcnnBenchStopped : public LcnnBench {
 protected:
  // Enough layers that the program has seconds to go when the first is in the report.
  std::vector<std::string> arguments() const {
    std::vector<json> list;
    for (int i = 0; i < 8; ++i) list.push_back(small_layer(fmt::format("layer{}", i)));
    return measuring(layers(list),
                     {"--benchmark_filter=shared_tiled", "--layout=nchw", "--report=" + report_path()});
  }
  std::vector<std::string> with(const std::string& option) const {
    std::vector<std::string> all = arguments();
    all.push_back(option);
    return all;
  }
};

TEST_F(LcnnBenchStopped, AKilledRunLosesNoFinishedRowAndIsResumed) {
  Program program(LCNN_BENCH_PATH, arguments());
  ASSERT_TRUE(program.runs_until([&] { return has_rows(report_path()); })) << program.wait().err;
  program.send(SIGKILL);
  ASSERT_EQ(program.wait().signal, SIGKILL) << "it ended before it could be killed";

  const std::map<std::string, std::string> before = row_lines(read_text(report_path()));
  const std::vector<std::string> expected = lines_of(run(with("--benchmark_list_tests")).out);
  ASSERT_LT(before.size(), expected.size());
  expect_valid(written());

  const Outcome resumed = run(with("--resume"));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  const std::map<std::string, std::string> after = row_lines(read_text(report_path()));
  EXPECT_THAT(names_of(written()["rows"]), testing::UnorderedElementsAreArray(expected));
  for (const auto& [name, line] : before) {
    EXPECT_EQ(after.at(name), line);
    EXPECT_THAT(resumed.out, Not(HasSubstr(name))) << "it was measured again";
  }

  const std::string complete = read_text(report_path());
  const Outcome again = run(with("--resume"));
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(again.out, HasSubstr("finished already"));
  EXPECT_EQ(read_text(report_path()), complete);
  EXPECT_THAT(folder_.names(), testing::ElementsAre("mine.json", "report.json"));
}

TEST_F(LcnnBenchStopped, AnInterruptedRunKeepsItsFinishedRowsAndSaysSo) {
  Program program(LCNN_BENCH_PATH, arguments());
  ASSERT_TRUE(program.runs_until([&] { return has_rows(report_path()); })) << program.wait().err;
  program.send(SIGINT);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 130);
  EXPECT_THAT(outcome.err, HasSubstr("lcnn_bench: interrupted"));
  const json rows = written()["rows"];
  EXPECT_GE(rows.size(), 1u);
  EXPECT_LT(rows.size(), lines_of(run(with("--benchmark_list_tests")).out).size());
  for (const json& row : rows) EXPECT_EQ(row["disposition"], "measured") << row["name"];
  EXPECT_THAT(folder_.names(), testing::ElementsAre("mine.json", "report.json"));
}

}  // namespace
}  // namespace lcnn::bench
