#include "variants/operator_recorder.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "profiles/nvtx_ranges.h"

namespace lcnn {
namespace {

using profiles::HostEvent;
using profiles::HostKind;

std::size_t find(const profiles::Profile& profile, HostKind kind, const std::string& name) {
  for (std::size_t i = 0; i < profile.host.size(); ++i) {
    if (profile.host[i].kind == kind && profile.names[profile.host[i].name] == name) return i;
  }
  return profiles::kNoParent;
}

TEST(OperatorRecorder, OperatorsAreRecordedInsideTheRangeThatCallsThem) {
  const at::Tensor a = at::ones({8, 8});
  profiles::Recorder recorder;
  recorder.add(make_operator_source());
  {
    const profiles::Recording recording(&recorder);
    const profiles::Range range("multiply");
    at::mm(a, a);
  }
  at::mm(a, a);
  const profiles::Profile& profile = recorder.profile();
  const std::size_t range = find(profile, HostKind::range, "multiply");
  const std::size_t mm = find(profile, HostKind::operator_call, "aten::mm");
  ASSERT_NE(range, profiles::kNoParent);
  ASSERT_NE(mm, profiles::kNoParent);
  EXPECT_EQ(profiles::nest(profile).parent[mm], range);
  int count = 0;
  for (const HostEvent& event : profile.host) count += profile.names[event.name] == "aten::mm";
  EXPECT_EQ(count, 1) << "what runs after recording is not in the profile";
  EXPECT_EQ(profiles::missing_records(profile), "");
}

TEST(OperatorRecorder, MemoryOfLibTorchIsRecorded) {
  profiles::Recorder recorder;
  recorder.add(make_operator_source());
  {
    const profiles::Recording recording(&recorder);
    const at::Tensor a = at::ones({1024});
  }
  std::int64_t sum = 0, allocated = 0;
  for (const profiles::MemoryEvent& event : recorder.profile().memory) {
    EXPECT_EQ(recorder.profile().names[event.allocator], "LibTorch on the CPU");
    sum += event.bytes;
    if (event.bytes > 0) allocated += event.bytes;
  }
  EXPECT_GE(allocated, 4096);
  EXPECT_EQ(sum, 0) << "what was allocated was released";
}

TEST(OperatorRecorder, LiveBytesOfTheCpuAreRightThoughMemoryIsReleasedBetweenRecordings) {
  profiles::Recorder recorder;
  recorder.add(make_operator_source());
  std::int64_t peak = 0;
  for (int round = 0; round < 10; ++round) {
    at::Tensor held;
    const profiles::Recording recording(&recorder);
    held = at::ones({1 << 20});
  }  // the tensor goes after the recording has ended
  for (const profiles::MemoryEvent& event : recorder.profile().memory) peak = std::max(peak, event.live_bytes);
  EXPECT_GE(peak, 4 << 20);
  EXPECT_LT(peak, 8 << 20);
}

}  // namespace
}  // namespace lcnn
