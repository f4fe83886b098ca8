#include "profiles/memory_timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "profiles/recorder.h"
#include "profiles/test_support.h"

namespace lcnn::profiles {
namespace {

using testing::HasSubstr;

std::map<std::string, std::int64_t> bytes_of(const MemoryPeak& peak) {
  std::map<std::string, std::int64_t> bytes;
  for (const LiveMemory& memory : peak.live) bytes[memory.owner] = memory.bytes;
  return bytes;
}

// A step of two phases on thread 1, a helper on thread 2.
void add_spans(Profile& profile) {
  add_host(profile, HostKind::operator_call, "aten::empty", 120, 130);
  add_host(profile, HostKind::operator_call, "aten::conv2d", 110, 180);
  add_host(profile, HostKind::range, "forward", 100, 200);
  add_host(profile, HostKind::range, "backward", 200, 300);
  add_host(profile, HostKind::range, "step", 50, 400);
  add_host(profile, HostKind::range, "helper", 0, 1000, 0, 2);
}

TEST(MemoryPeaks, ThePeakIsHeldByThoseWhoAllocatedWhatIsLive) {
  Profile profile;
  add_spans(profile);
  add_memory(profile, "A", 60, 0x1, 100, 100);     // step
  add_memory(profile, "A", 125, 0x2, 50, 150);     // forward > conv2d
  add_memory(profile, "A", 150, 0x2, -50, 100);    // released before the peak
  add_memory(profile, "A", 160, 0x3, 70, 170);     // forward > conv2d
  add_memory(profile, "A", 170, 0x4, 30, 200);     // forward > conv2d
  add_memory(profile, "A", 250, 0x5, 400, 600);    // backward: the peak
  add_memory(profile, "A", 260, 0x5, -400, 200);
  add_memory(profile, "A", 350, 0x6, 350, 550);    // live at the end, not at the peak
  const std::vector<MemoryPeak> peaks = memory_peaks(profile);
  ASSERT_EQ(peaks.size(), 1u);
  EXPECT_EQ(peaks[0].bytes, 600);
  EXPECT_EQ(peaks[0].time_ns, 250);
  EXPECT_EQ(peaks[0].not_recorded, 0);
  EXPECT_EQ(bytes_of(peaks[0]), (std::map<std::string, std::int64_t>{
                                    {"step > backward", 400}, {"step", 100}, {"step > forward > aten::conv2d", 100}}));
  EXPECT_EQ(peaks[0].live[0].owner, "step > backward") << "most bytes first";
}

TEST(MemoryPeaks, EachAllocatorHasItsOwnAndThreadsAreKeptApart) {
  Profile profile;
  add_spans(profile);
  add_memory(profile, "A", 150, 0x1, 10, 10, /*thread=*/2);
  add_memory(profile, "A", 151, 0x2, 20, 30, /*thread=*/3);
  add_memory(profile, "B", 152, 0x1, 40, 40);
  const std::vector<MemoryPeak> peaks = memory_peaks(profile);
  ASSERT_EQ(peaks.size(), 2u);
  EXPECT_EQ(bytes_of(peaks[0]), (std::map<std::string, std::int64_t>{{"helper", 10}, {"(no range)", 20}}));
  EXPECT_EQ(bytes_of(peaks[1]), (std::map<std::string, std::int64_t>{{"step > forward > aten::conv2d", 40}}));
}

TEST(MemoryPeaks, AllocationsOfTheBackwardPasssThreadBelongToTheRangeThatWaitsForIt) {
  Profile profile;
  add_host(profile, HostKind::range, "backward", 200, 300);
  add_host(profile, HostKind::range, "step", 50, 400);
  add_host(profile, HostKind::operator_call, "ConvolutionBackward0", 210, 250, 0, /*thread=*/2);
  add_memory(profile, "A", 220, 0x1, 10, 10, /*thread=*/2);
  add_memory(profile, "A", 270, 0x2, 5, 15, /*thread=*/2);
  EXPECT_EQ(bytes_of(memory_peaks(profile)[0]),
            (std::map<std::string, std::int64_t>{{"step > backward > ConvolutionBackward0", 10}, {"step > backward", 5}}));
}

TEST(MemoryPeaks, ACudaCallsMemoryBelongsToTheSpansAroundTheCall) {
  Profile profile;
  add_spans(profile);
  add_host(profile, HostKind::cuda_call, "cudaMalloc", 210, 220, 77);
  add_memory(profile, "driver", 999, 0x1, 10, 10, /*thread=*/0, /*correlation=*/77);
  add_memory(profile, "driver", 999, 0x2, 5, 15, /*thread=*/0, /*correlation=*/78);
  EXPECT_EQ(bytes_of(memory_peaks(profile)[0]),
            (std::map<std::string, std::int64_t>{{"step > backward", 10}, {"(no range)", 5}}));
}

TEST(MemoryPeaks, WhatWasAllocatedBeforeIsCountedAsNotRecorded) {
  Profile profile;
  add_memory(profile, "A", 10, 0x1, 100, 1100);
  add_memory(profile, "A", 20, 0x9, -300, 800);  // allocated before recording
  EXPECT_EQ(memory_peaks(profile)[0].not_recorded, 1000);
  EXPECT_THAT(to_text(memory_peaks(profile), 5), HasSubstr("1.1 kB, 1 kB of it allocated while nothing was recorded"));
}

TEST(MemoryPeaks, WhatWasReleasedBetweenRecordingsIsNotTakenForLive) {
  Profile profile;
  add_memory(profile, "A", 10, 0x1, 100, 100);  // released while nothing was recorded
  add_memory(profile, "A", 500, 0x2, 150, 150);
  const MemoryPeak peak = memory_peaks(profile)[0];
  EXPECT_EQ(peak.bytes, 150);
  EXPECT_EQ(peak.not_recorded, 0);
  ASSERT_EQ(peak.live.size(), 1u);
  EXPECT_EQ(peak.live[0].bytes, 150);
  add_memory(profile, "A", 600, 0x1, 60, 210);
  EXPECT_EQ(memory_peaks(profile)[0].live[0].allocations, 2) << "an address that is allocated again is its new allocation";
}

TEST(MemoryPeaks, EventsThatComeOutOfOrderAreSorted) {
  Profile profile;
  add_memory(profile, "A", 30, 0x1, -100, 0);
  add_memory(profile, "A", 10, 0x1, 100, 100);
  const MemoryPeak peak = memory_peaks(profile)[0];
  EXPECT_EQ(peak.time_ns, 10);
  EXPECT_EQ(peak.live.size(), 1u);
}

TEST(MemoryPeaks, RecordedEventsKnowTheirThread) {
  Recorder recorder;
  recorder.start();
  {
    const RecordedRange range("mine");
    record(MemoryEvent{.time_ns = now_ns(), .address = 1, .bytes = 8, .live_bytes = 8}, "A");
  }
  recorder.stop();
  EXPECT_EQ(bytes_of(memory_peaks(recorder.profile())[0]), (std::map<std::string, std::int64_t>{{"mine", 8}}));
}

TEST(MemoryPeaks, TextIsCutAndJsonIsComplete) {
  Profile profile;
  for (int i = 0; i < 3; ++i) {
    add_host(profile, HostKind::range, "range " + std::to_string(i), 10 * i, 10 * i + 9);
    add_memory(profile, "A", 10 * i + 5, 0x1 + i, 1000, 1000 * (i + 1));
  }
  const std::vector<MemoryPeak> peaks = memory_peaks(profile);
  EXPECT_THAT(to_text(peaks, 2), HasSubstr("Peak memory, A: 3 kB\n"));
  EXPECT_THAT(to_text(peaks, 2), HasSubstr("(1 more)"));
  const nlohmann::ordered_json json = to_json(peaks);
  EXPECT_EQ(json[0]["live"].size(), 3u);
  EXPECT_EQ(json[0]["peak_bytes"], 3000);
  EXPECT_EQ(to_text(memory_peaks(Profile()), 2), "");
}

}  // namespace
}  // namespace lcnn::profiles
