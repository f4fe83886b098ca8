#include "profiles/profile_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "profiles/nvtx_ranges.h"
#include "reports/temporary_folder.h"

#if LCNN_HAS_CUDA
#include <cuda_runtime_api.h>

#include "profiles/test_kernels.h"
#endif

namespace lcnn::profiles {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class ProfileSessionTest : public testing::Test {
 protected:
  nlohmann::json table() const {
    std::ifstream stream(folder_ / "table.json");
    return nlohmann::json::parse(stream);
  }
  TemporaryFolder folder_;
};

TEST_F(ProfileSessionTest, WhatWasRecordedAndSaidIsInTextAndTable) {
  ProfileSession session({.table = folder_ / "table.json", .sort = "calls", .rows = 1, .counters = true}, /*cuda=*/false);
  {
    const Recording recording(&session.recorder());
    for (int i = 0; i < 3; ++i) {
      const Range range("often");
    }
    const Range range("once");
    record(MemoryEvent{.time_ns = now_ns(), .address = 1, .bytes = 4096, .live_bytes = 4096}, "heap");
  }
  Counted& counted = session.counted("row");
  counted.time_ns = 2000;
  counted.overhead = 0.05;
  counted.least = {.read_bytes = 1000, .write_bytes = 500, .operations = 8e6, .time_ns = 1000, .time_of = "bytes"};
  counted.gpu = {.dram_read_bytes = 2100, .dram_write_bytes = 500, .dram_percent = 80};
  counted.kernels = {{.name = "gather", .range = "second half", .registers = 64,
                      .counters = {.duration_ns = 1500, .dram_read_bytes = 3e6, .tensor_percent = 70}},
                     {.name = "gather", .range = "second half", .registers = 64,
                      .counters = {.duration_ns = 500, .dram_read_bytes = 1e6, .tensor_percent = 90}}};
  counted.stalls = {.kernels = {{.kernel = "gather", .samples = 10, .reasons = {{"barrier", 6}}}}, .unnamed = 4};
  int runs = 0;
  session.sample_stalls("row", 4, [&](std::int64_t) { ++runs; });
  session.count("row", 4, [&](std::int64_t) { ++runs; });
  EXPECT_EQ(runs, 0) << "there is no GPU whose counters could be taken";
  session.write();

  const std::string text = session.text();
  for (const char* part : {"often", "(1 more)", "Peak memory, heap: 4.1 kB", "of once", "a run takes 2.0 us, +5.0% under the profiler",
                           "2.0x the time that the fewest bytes need",
                           "needs to read 1 kB, to write 500 B, 8e+06 operations: 4e+12 a second", "memory-bound: DRAM is busy 80%",
                           "reads 2.1x and writes 1.0x",
                           "kernel gather", "tensor-bound: tensor cores are busy 70%",
                           "range second half, its kernels together\n    tensor-bound: tensor cores are busy 75%", "DRAM read 4 MB",
                           "64 registers a thread", "60% other warps of the block (barrier)",
                           "4 samples of stalls are of kernels that CUPTI does not name",
                           "GPU counters: off, this runs on the CPU", "table: "}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(text, Not(HasSubstr("trace: "))) << "none was asked for";
  const nlohmann::json found = table()["counted"]["row"];
  EXPECT_EQ(found["bound"].get<std::string>(), "memory");
  EXPECT_EQ(found["gpu"]["dram_read_bytes"], 2100.0);
  EXPECT_EQ(found["kernels"][0]["registers_per_thread"], 64);
  EXPECT_EQ(found["kernels"][0]["bound"].get<std::string>(), "tensor_cores");
  EXPECT_EQ(found["ranges"]["second half"]["counters"]["dram_read_bytes"], 4e6);
  EXPECT_EQ(found["stalls"]["kernels"][0]["stalled"]["barrier"], 6);
  EXPECT_EQ(table()["memory"][0]["peak_bytes"], 4096);
}

TEST_F(ProfileSessionTest, FilesThatCannotBeWrittenAreRefusedBeforeAnythingRuns) {
  EXPECT_THROW(ProfileSession({.trace = "/no/such/folder/trace.json"}, false), std::runtime_error);
  EXPECT_THROW(ProfileSession({.table = fs::path(folder_ / "table.json").parent_path()}, false), std::runtime_error);
}

#if LCNN_HAS_CUDA

TEST_F(ProfileSessionTest, OnAGpuKernelsCountersAndStallsAreTakenTogether) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) GTEST_SKIP() << "there is no CUDA device";
  ProfileSession session({.table = folder_ / "table.json", .trace = folder_ / "trace.json", .counters = true}, /*cuda=*/true);
  constexpr std::size_t kBytes = std::size_t{256} << 20;
  void *from = nullptr, *to = nullptr;
  ASSERT_EQ(cudaMalloc(&from, kBytes), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&to, kBytes), cudaSuccess);
  const auto run = [&](std::int64_t) {
    {
      const Range range("copying");
      launch_copy(static_cast<const float4*>(from), static_cast<float4*>(to), kBytes / sizeof(float4));
    }
    launch_fma_chains(1000, static_cast<float*>(to));
  };
  run(0);
  {
    const Recording recording(&session.recorder());
    const Range range("recorded");
    run(0);
  }
  Counted& counted = session.counted("work");
  counted.least = {.read_bytes = kBytes, .write_bytes = kBytes};
  counted.time_ns = 250e3;
  session.sample_stalls("work", 2, run);
  session.count("work", 2, run);
  session.write();
  const std::string text = session.text();
  std::printf("%s", text.c_str());
  EXPECT_THAT(text, Not(HasSubstr("while it takes"))) << "nothing is in the way of another";
  EXPECT_EQ(session.why_incomplete(), "");
  EXPECT_THAT(text, HasSubstr("copy"));
  if (text.find("GPU counters: off") == std::string::npos) {
    ASSERT_TRUE(counted.gpu.dram_read_bytes);
    EXPECT_NEAR(*counted.gpu.dram_read_bytes / kBytes, 1, 0.2) << "of one run";
    ASSERT_EQ(counted.kernels.size(), 2u);
    EXPECT_THAT(counted.kernels[0].name, HasSubstr("copy"));
    EXPECT_THAT(counted.kernels[1].name, HasSubstr("fma_chains"));
    EXPECT_GT(counted.kernels[0].registers, 0);
    EXPECT_EQ(counted.kernels[0].range, "copying");
    EXPECT_EQ(counted.kernels[1].range, "");
  }
  if (text.find("stall reasons: off") == std::string::npos) {
    EXPECT_EQ(counted.stalls.kernels.size(), 2u) << "kernels are named";
    session.sample_stalls("after it was counted", 2, run);
    EXPECT_EQ(session.counted("after it was counted").stalls.kernels.size(), 2u);
  }
  cudaFree(from);
  cudaFree(to);
}

#endif

}  // namespace
}  // namespace lcnn::profiles
