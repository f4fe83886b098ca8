// lcnn_profile as its users meet it: the program itself is run, and its output, exit code and files are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "reports/temporary_folder.h"
#include "reports/test_program.h"

namespace lcnn::profiles {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

class LcnnProfile : public testing::Test {
 protected:
  Outcome run(const std::vector<std::string>& arguments) const { return Program(LCNN_PROFILE_PATH, arguments).wait(); }
  json file(const std::string& name) const { return json::parse(read_text(folder_ / name)); }
  std::set<std::string> names_in_trace(const std::string& name) const {
    std::set<std::string> names;
    const json trace = file(name);
    for (const json& event : trace["traceEvents"]) names.insert(event["name"].get<std::string>());
    return names;
  }
  TemporaryFolder folder_;
};

TEST_F(LcnnProfile, ATrainingStepIsSplitIntoItsPartsAndItsMemoryIsAttributed) {
  const Outcome outcome = run({"--model=lenet", "--convolution=pooled", "--batch=8", "--threads=1", "--device=cpu", "--steps=3",
                               "--rows=5", "--sort=cpu_total", "--json=" + (folder_ / "t.json"), "--trace=" + (folder_ / "t.trace")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const char* part : {"Self CPU %", "Peak memory, LibTorch on the CPU", "step of lenet, pooled, batch 8", "a run takes", "under the profiler"}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
  const json table = file("t.json");
  std::map<std::string, int> calls;
  for (const json& row : table["rows"]) calls[row["name"]] = row["calls"];
  for (const char* part : {"step of lenet, pooled, batch 8", "forward", "backward", "update"}) EXPECT_EQ(calls[part], 3) << part;
  EXPECT_EQ(calls["make the network"], 1);
  EXPECT_GT(table["counted"]["step of lenet, pooled, batch 8"]["time_us"], 0);
  EXPECT_TRUE(table["incomplete"].is_null());
  ASSERT_FALSE(table["memory"].empty());
  std::int64_t held = table["memory"][0]["not_recorded_bytes"];
  std::string owners;
  for (const json& live : table["memory"][0]["live"]) {
    held += live["bytes"].get<std::int64_t>();
    owners += live["owner"].get<std::string>() + "\n";
  }
  EXPECT_EQ(held, table["memory"][0]["peak_bytes"]) << "every byte has an owner";
  EXPECT_EQ(table["memory"][0]["not_recorded_bytes"], 0);
  EXPECT_THAT(owners, HasSubstr("make the network"));
  EXPECT_THAT(names_in_trace("t.trace"), testing::IsSupersetOf({"forward", "backward", "aten::conv2d", "memory: LibTorch on the CPU"}));
}

TEST_F(LcnnProfile, ThePeakOfMemoryIsTheSameHoweverManyStepsAreRecorded) {
  const auto peak = [&](const std::string& steps) {
    EXPECT_EQ(run({"--model=lenet", "--batch=8", "--threads=1", "--device=cpu", "--steps=" + steps, "--json=" + (folder_ / "t.json")}).exit_code, 0);
    return file("t.json")["memory"][0]["peak_bytes"].get<std::int64_t>();
  };
  EXPECT_EQ(peak("3"), peak("9"));
}

TEST_F(LcnnProfile, RowsAreProfiledAsLcnnBenchDoesIt) {
  std::ofstream(folder_ / "mine.json") << R"([{"name": "a", "in_channels": 8, "out_channels": 8, "kernel": 3, "padding": 1,
                                         "height": 8, "width": 8, "dictionary_size": 4}])";
  const Outcome outcome = run({"--device=cpu", "--threads=1", "--workload=" + (folder_ / "mine.json"), "--layout=nchw",
                               "--benchmark_filter=Lookup/flat_gather", "--json=" + (folder_ / "t.json")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("under the profiler"));
  EXPECT_THAT(outcome.out, HasSubstr("the time that the fewest"));
  bool found = false;
  const json table = file("t.json");
  for (const auto& [name, counted] : table["counted"].items()) found = found || (name.starts_with("Lookup/flat_gather") && counted["time_us"] > 0);
  EXPECT_TRUE(found);
}

TEST_F(LcnnProfile, OnAGpuKernelsAreThereAndCountersOrWhyNot) {
  const Outcome outcome = run({"--model=lenet", "--convolution=pooled", "--batch=64", "--device=cuda", "--steps=3", "--counters",
                               "--json=" + (folder_ / "t.json"), "--trace=" + (folder_ / "t.trace")});
  for (const char* const none : {"no CUDA device can be used", "this build has no CUDA"}) {
    if (outcome.err.find(none) != std::string::npos) GTEST_SKIP() << outcome.err;
  }
  std::printf("%s%s", outcome.out.c_str(), outcome.err.c_str());
  EXPECT_EQ(outcome.exit_code, 0);
  const json table = file("t.json");
  EXPECT_GT(table["self_cuda_time_total_us"], 0);
  const json counted = table["counted"]["step of lenet, pooled, batch 64"];
  const bool off = outcome.out.find("GPU counters: off") != std::string::npos;
  EXPECT_EQ(counted["gpu"]["dram_read_bytes"].is_null(), off);
  EXPECT_EQ(counted["kernels"].empty(), off);
  EXPECT_EQ(counted["stalls"]["kernels"].empty(), outcome.out.find("stall reasons: off") != std::string::npos);
  EXPECT_EQ(outcome.out.find("while it takes"), std::string::npos) << "records, counters and samples are never on together";
}

TEST_F(LcnnProfile, GzipCompressesTheTrace) {
  const std::string path = folder_ / "t.gz";
  EXPECT_EQ(run({"--model=one_layer", "--batch=2", "--threads=1", "--device=cpu", "--steps=1", "--trace=" + path, "--gzip"}).exit_code, 0);
  EXPECT_THAT(read_text(path), StartsWith("\x1f\x8b"));
}

TEST_F(LcnnProfile, ErrorsAreOneLineAndExitCodeTwo) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--model=vgg"},
                                                                      {"--model=lenet", "--image=1x4x4", "--device=cpu"},
                                                                      {"--model=lenet", "--device=cpu", "--json=/no/such/folder/x"},
                                                                      {"--workload=nothing", "--device=cpu"},
                                                                      {"--sort=gpu"}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments[0];
    EXPECT_THAT(outcome.err, StartsWith("lcnn_profile: "));
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
  }
}

}  // namespace
}  // namespace lcnn::profiles
