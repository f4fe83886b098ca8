#include "profiles/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <thread>

#include "profiles/nvtx_ranges.h"
#include "profiles/operator_table.h"

namespace lcnn::profiles {
namespace {

std::map<std::string, int> ranges(const Profile& profile) {
  std::map<std::string, int> found;
  for (const HostEvent& event : profile.host) ++found[profile.names[event.name]];
  return found;
}

TEST(Recorder, RangesAreRecordedBetweenStartAndStopAlone) {
  Recorder recorder;
  { const Range before("before"); }
  recorder.start();
  EXPECT_TRUE(recording());
  {
    const Range outer("outer");
    for (int i = 0; i < 3; ++i) const Range inner = Range::of<MeasureRange>();
  }
  recorder.stop();
  EXPECT_FALSE(recording());
  { const Range after("after"); }
  recorder.start();
  { const Range again("outer"); }
  recorder.stop();
  EXPECT_EQ(ranges(recorder.profile()), (std::map<std::string, int>{{"outer", 2}, {"measure", 3}}));
}

TEST(Recorder, ARangeThatWasOpenWhenRecordingBeganOrEndedIsNotRecorded) {
  Recorder recorder;
  {
    const Range open_before("open before");
    recorder.start();
  }
  {
    const Range open_after("open after");
    recorder.stop();
  }
  EXPECT_TRUE(recorder.profile().host.empty());
}

TEST(Recorder, NestedRangesOfTwoThreadsNestOnTheirOwnThreads) {
  Recorder recorder;
  recorder.start();
  const auto work = [](const char* name) {
    const Range outer(name);
    for (int i = 0; i < 1000; ++i) const Range inner("inner");
  };
  std::thread other(work, "other");
  work("main");
  other.join();
  recorder.stop();
  const Profile& profile = recorder.profile();
  ASSERT_EQ(profile.host.size(), 2002u);
  const Nesting nesting = nest(profile);
  std::map<std::string, int> children;
  for (std::size_t i = 0; i < profile.host.size(); ++i) {
    EXPECT_LE(profile.host[i].begin_ns, profile.host[i].end_ns);
    if (nesting.parent[i] == kNoParent) continue;
    EXPECT_EQ(profile.host[nesting.parent[i]].thread, profile.host[i].thread);
    ++children[profile.names[profile.host[nesting.parent[i]].name]];
  }
  EXPECT_EQ(children, (std::map<std::string, int>{{"main", 1000}, {"other", 1000}}));
}

TEST(Recorder, WhatComesWhenItIsFullIsCountedAndLeftOut) {
  Recorder recorder(/*most_events=*/1000);
  recorder.start();
  for (int i = 0; i < 5000; ++i) const Range range("range");
  recorder.stop();
  EXPECT_EQ(recorder.profile().host.size(), 1000u);
  EXPECT_EQ(recorder.profile().left_out, 4000);
  EXPECT_THAT(missing_records(recorder.profile()), testing::HasSubstr("4000 events"));
}

TEST(Recorder, OnlyOneRecordsAtATime) {
  Recorder first, second;
  first.start();
  EXPECT_THROW(second.start(), std::logic_error);
  EXPECT_THROW(first.start(), std::logic_error);
  second.stop();
  EXPECT_TRUE(recording()) << "stopping one that does not record stops none";
  first.stop();
  second.start();
  second.stop();
}

TEST(Recorder, ASourceThatCannotStartLeavesNothingRecording) {
  struct Failing final : Source {
    void start() override { throw std::runtime_error("no"); }
    void stop() override { FAIL() << "it never started"; }
  };
  Recorder recorder, other;
  recorder.add(std::make_unique<Failing>());
  EXPECT_THROW(recorder.start(), std::runtime_error);
  EXPECT_FALSE(recording());
  EXPECT_NO_THROW(other.start());
  other.stop();
}

TEST(Recorder, SourcesHandInWhatTheyHoldWhenItStops) {
  struct Late final : Source {
    void start() override { begin_ns = now_ns(); }
    void stop() override {
      record(DeviceEvent{.begin_ns = begin_ns, .end_ns = now_ns()}, "kernel");
      record(MemoryEvent{.time_ns = now_ns(), .bytes = 8, .live_bytes = 8}, "CUDA 0");
      record_lost(3);
    }
    std::int64_t begin_ns = 0;
  };
  Recorder recorder;
  recorder.add(std::make_unique<Late>());
  { const Recording recording(&recorder); }
  { const Recording none(nullptr); }
  ASSERT_EQ(recorder.profile().device.size(), 1u);
  EXPECT_EQ(recorder.profile().names[recorder.profile().device[0].name], "kernel");
  EXPECT_EQ(recorder.profile().memory.size(), 1u);
  EXPECT_EQ(recorder.profile().lost_records, 3);
  record(DeviceEvent{}, "no recorder");
  EXPECT_EQ(recorder.profile().device.size(), 1u);
}

}  // namespace
}  // namespace lcnn::profiles
