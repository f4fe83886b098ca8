#include "profiles/trace_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "profiles/test_support.h"
#include "reports/temporary_folder.h"

namespace lcnn::profiles {
namespace {

using nlohmann::json;
using Track = std::pair<int, int>;

Track track_of(const json& event) { return {event["pid"], event["tid"]}; }

// What every trace has to be: all events known and complete, spans of a track in order and nested, arrows in
// pairs that begin at a span and end at one.
void expect_well_formed(const json& trace) {
  std::map<Track, std::vector<double>> open;
  std::map<Track, double> last;
  std::map<Track, std::set<double>> begins;
  for (const json& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    const double begin = event["ts"], end = begin + event["dur"].get<double>();
    EXPECT_GE(begin, 0);
    EXPECT_GE(event["dur"].get<double>(), 0);
    EXPECT_GE(begin, last[track_of(event)]) << event;
    last[track_of(event)] = begin;
    std::vector<double>& ends = open[track_of(event)];
    while (!ends.empty() && ends.back() <= begin + 1e-6) ends.pop_back();
    if (!ends.empty()) {
      EXPECT_LE(end, ends.back() + 1e-6) << event << " outlives the span around it";
    }
    ends.push_back(end);
    begins[track_of(event)].insert(begin);
  }
  std::map<int, json> begun;
  std::set<int> ended;
  std::set<Track> named;
  for (const json& event : trace["traceEvents"]) {
    const std::string phase = event["ph"];
    EXPECT_THAT((std::vector<std::string>{"X", "M", "C", "s", "f"}), testing::Contains(phase));
    if (phase == "M" && event["name"] == "thread_name") named.insert(track_of(event));
    if (phase == "s") {
      EXPECT_TRUE(begun.emplace(event["id"], event).second) << event << " begins twice";
    }
    if (phase == "f") {
      ASSERT_TRUE(begun.contains(event["id"])) << event;
      EXPECT_LE(begun[event["id"]]["ts"].get<double>(), event["ts"].get<double>());
      EXPECT_EQ(event["bp"], "e");
      EXPECT_TRUE(ended.insert(event["id"].get<int>()).second) << event << " ends twice";
    }
    if (phase == "s" || phase == "f") {
      EXPECT_TRUE(begins[track_of(event)].contains(event["ts"])) << event << " is bound to no span";
    }
  }
  EXPECT_EQ(begun.size(), ended.size());
  for (const auto& [track, times] : begins)
    EXPECT_TRUE(named.contains(track)) << track.first << "/" << track.second;
}

std::size_t count(const json& trace, const std::string& phase) {
  std::size_t found = 0;
  for (const json& event : trace["traceEvents"]) found += event["ph"] == phase;
  return found;
}

class TraceWriter : public testing::Test {
 protected:
  std::string path() const { return folder_ / "trace.json"; }
  json written() const { return json::parse(read_text(path())); }
  TemporaryFolder folder_;
  Profile profile_;
};

TEST_F(TraceWriter, EveryEventIsThereAndTheTraceIsWellFormed) {
  fill_example(profile_);
  const TraceSummary summary = write_trace(profile_, path());
  const json trace = written();
  expect_well_formed(trace);
  EXPECT_EQ(summary.events, 14);
  EXPECT_EQ(summary.left_out, 0);
  EXPECT_EQ(count(trace, "X"), 12u);
  EXPECT_EQ(count(trace, "s"), 4u) << "the kernel of an unknown launcher has no arrow";
  EXPECT_EQ(count(trace, "C"), 2u);
  EXPECT_EQ(trace["otherData"]["events_left_out"], 0);
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"trace.json"});
}

TEST_F(TraceWriter, TimesAreMicrosecondsSinceTheFirstEvent) {
  fill_example(profile_);
  write_trace(profile_, path());
  std::map<std::string, json> first;
  const json trace = written();
  for (const json& event : trace["traceEvents"]) first.emplace(event["name"], event);
  EXPECT_DOUBLE_EQ(first["row"]["ts"], 0.0);
  EXPECT_DOUBLE_EQ(first["aten::conv2d"]["ts"], 0.1);
  EXPECT_DOUBLE_EQ(first["aten::conv2d"]["dur"], 0.6);
  EXPECT_DOUBLE_EQ(first["copy DtoH"]["ts"], 2.7);
  EXPECT_EQ(first["memory: CUDA 0"]["args"]["live_bytes"], 512);
}

TEST_F(TraceWriter, OverlappingKernelsOfAStreamGoToTwoTracks) {
  fill_example(profile_);
  write_trace(profile_, path());
  std::set<std::string> tracks;
  const json trace = written();
  for (const json& event : trace["traceEvents"]) {
    if (event["name"] == "thread_name") tracks.insert(event["args"]["name"]);
  }
  EXPECT_THAT(tracks,
              testing::IsSupersetOf({"stream 7", "stream 7 (2)", "stream 8", "thread 1", "thread 2"}));
}

TEST_F(TraceWriter, ASpanThatOutlivesItsParentIsCut) {
  add_host(profile_, HostKind::range, "outer", 0, 100);
  add_host(profile_, HostKind::range, "too long", 50, 150);
  write_trace(profile_, path());
  expect_well_formed(written());
}

TEST_F(TraceWriter, NamesThatAreNoUtf8AreWritten) {
  add_host(profile_, HostKind::range, "\xff\"\\\n", 0, 100);
  write_trace(profile_, path());
  expect_well_formed(written());
}

TEST_F(TraceWriter, GzippedItIsTheSameText) {
  fill_example(profile_);
  write_trace(profile_, path());
  const std::string zipped = folder_ / "trace.json.gz";
  write_trace(profile_, zipped, {.gzip = true});
  EXPECT_EQ(read_text(zipped).substr(0, 2), "\x1f\x8b");
  gzFile file = gzopen(zipped.c_str(), "rb");
  std::string text(100000, '\0');
  text.resize(gzread(file, text.data(), static_cast<unsigned>(text.size())));
  gzclose(file);
  EXPECT_EQ(text, read_text(path()));
}

TEST_F(TraceWriter, ALargeProfileIsCutAtTheEndWithinItsBoundAndSaysSo) {
  for (std::uint32_t i = 1; i <= 20000; ++i) {
    add_host(profile_, HostKind::cuda_call, "cudaLaunchKernel", 100 * i, 100 * i + 20, i);
    add_device(profile_, DeviceKind::kernel, "kernel", 100 * i + 30, 100 * i + 110, i);
  }
  constexpr std::int64_t kMost = 1 << 20;
  const TraceSummary summary = write_trace(profile_, path(), {.most_bytes = kMost});
  EXPECT_EQ(summary.events + summary.left_out, 40000);
  EXPECT_GT(summary.left_out, 0);
  EXPECT_GT(summary.events, 1000);
  const std::string text = read_text(path());
  EXPECT_LE(text.size(), kMost + 100u);
  const json trace = json::parse(text);
  expect_well_formed(trace);
  EXPECT_EQ(trace["otherData"]["events_left_out"], summary.left_out);
  EXPECT_EQ(static_cast<std::int64_t>(count(trace, "X")), summary.events);
}

TEST_F(TraceWriter, APlaceThatCannotBeWrittenIsNamed) {
  try {
    write_trace(profile_, "/no/such/folder/trace.json");
    FAIL() << "was written";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("/no/such/folder/trace.json"));
  }
}

}  // namespace
}  // namespace lcnn::profiles
