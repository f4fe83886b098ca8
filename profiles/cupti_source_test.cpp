// On a machine without a GPU: that the source says why it records nothing. With one: that work is credited
// exactly.
#include "profiles/cupti_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "profiles/memory_timeline.h"
#include "profiles/nvtx_ranges.h"
#include "profiles/operator_table.h"

#if LCNN_HAS_CUDA
#include <cuda_runtime_api.h>
#endif

namespace lcnn::profiles {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(CuptiSource, IsThereOrSaysWhyNot) {
  const CuptiSource cupti = make_cupti_source();
  if (cupti.source != nullptr) {
    EXPECT_EQ(cupti.why_not, "");
  } else {
    EXPECT_THAT(cupti.why_not, StartsWith("CUDA records: off, "));
    EXPECT_EQ(cupti.why_not.find('\n'), std::string::npos);
  }
}

#if LCNN_HAS_CUDA

class CuptiOnDevice : public testing::Test {
 protected:
  void SetUp() override {
    CuptiSource cupti = make_cupti_source();
    if (cupti.source == nullptr) GTEST_SKIP() << cupti.why_not;
    recorder_.add(std::move(cupti.source));
    ASSERT_EQ(cudaStreamCreate(&stream_), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&memory_, kBytes), cudaSuccess);
  }
  void TearDown() override {
    cudaFree(memory_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  void set(int times) const {
    for (int i = 0; i < times; ++i) ASSERT_EQ(cudaMemsetAsync(memory_, i, kBytes, stream_), cudaSuccess);
  }
  std::map<std::string, TableRow> rows() const {
    std::map<std::string, TableRow> found;
    for (const TableRow& row : tabulate(recorder_.profile()).rows) found[row.name] = row;
    return found;
  }

  static constexpr std::size_t kBytes = 1 << 20;
  Recorder recorder_;
  cudaStream_t stream_ = nullptr;
  void* memory_ = nullptr;
};

TEST_F(CuptiOnDevice, WorkInNestedRangesIsCreditedToThem) {
  {
    const Recording recording(&recorder_);
    const Range outer("outer");
    set(3);
    {
      const Range inner("inner");
      set(2);
    }
  }
  set(4);
  cudaDeviceSynchronize();
  auto found = rows();
  EXPECT_EQ(found["memset"].calls, 5) << "what ran after recording is not in the profile";
  EXPECT_EQ(found["cudaMemsetAsync"].calls, 5);
  std::int64_t inner = 0;
  const Profile& profile = recorder_.profile();
  const Nesting nesting = nest(profile);
  const std::vector<std::size_t> calls = launching_calls(profile, nesting);
  for (std::size_t i = 0; i < profile.device.size(); ++i) {
    ASSERT_NE(calls[i], kNoParent);
    EXPECT_EQ(profile.device[i].bytes, static_cast<std::int64_t>(kBytes));
    EXPECT_GE(profile.device[i].begin_ns, profile.host[calls[i]].begin_ns) << "one clock";
    inner += profile.names[profile.host[nesting.parent[calls[i]]].name] == "inner";
  }
  EXPECT_EQ(inner, 2);
  EXPECT_EQ(found["inner"].cuda_total_ns + found["outer"].self_cuda_ns, found["memset"].cuda_total_ns);
  EXPECT_EQ(found["outer"].cuda_total_ns, found["memset"].cuda_total_ns);
  EXPECT_EQ(missing_records(profile), "");
}

TEST_F(CuptiOnDevice, AGraphsWorkIsCreditedToTheRangeThatLaunchesIt) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  {
    const Recording recording(&recorder_);
    {
      const Range capture("capture");
      ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
      set(3);
      ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
      ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    }
    const Range replay("replay");
    for (int i = 0; i < 2; ++i) ASSERT_EQ(cudaGraphLaunch(executable, stream_), cudaSuccess);
  }
  auto found = rows();
  EXPECT_EQ(found["memset"].calls, 6);
  EXPECT_EQ(found["cudaGraphLaunch"].calls, 2);
  EXPECT_EQ(found["replay"].cuda_total_ns, found["memset"].cuda_total_ns);
  EXPECT_EQ(found["capture"].cuda_total_ns, 0);
  EXPECT_EQ(missing_records(recorder_.profile()), "");
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

TEST_F(CuptiOnDevice, DeviceMemoryBelongsToTheRangeThatAllocatedIt) {
  void* more = nullptr;
  {
    const Recording recording(&recorder_);
    const Range range("allocates");
    ASSERT_EQ(cudaMalloc(&more, 3 * kBytes), cudaSuccess);
  }
  cudaFree(more);
  for (const MemoryEvent& event : recorder_.profile().memory) {
    std::printf("%s: %ld bytes, %ld live, correlation %u\n", recorder_.profile().names[event.allocator].c_str(),
                static_cast<long>(event.bytes), static_cast<long>(event.live_bytes), event.correlation);
  }
  const std::vector<MemoryPeak> peaks = memory_peaks(recorder_.profile());
  ASSERT_EQ(peaks.size(), 1u);
  EXPECT_EQ(peaks[0].allocator, "driver on CUDA 0");
  ASSERT_EQ(peaks[0].live.size(), 1u);
  EXPECT_EQ(peaks[0].live[0].owner, "allocates");
  EXPECT_EQ(peaks[0].live[0].bytes, static_cast<std::int64_t>(3 * kBytes));
}

TEST_F(CuptiOnDevice, ASecondSubscriberIsToldWhoHoldsCupti) {
  const CuptiSource second = make_cupti_source();
  EXPECT_EQ(second.source, nullptr);
  EXPECT_THAT(second.why_not, HasSubstr("profiles this process already"));
}

#endif

}  // namespace
}  // namespace lcnn::profiles
