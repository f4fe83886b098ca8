#include "profiles/profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "profiles/test_support.h"

namespace lcnn::profiles {
namespace {

using testing::HasSubstr;

std::string parent_name(const Profile& profile, const Nesting& nesting, std::size_t event) {
  const std::size_t parent = nesting.parent[event];
  return parent == kNoParent ? "none" : profile.names[profile.host[parent].name];
}

TEST(Names, EachIsKeptOnce) {
  Names names;
  const Names::Id a = names.id("a"), b = names.id("b");
  EXPECT_NE(a, b);
  EXPECT_EQ(names.id("a"), a);
  EXPECT_EQ(names[b], "b");
}

TEST(Nest, FindsTheInnermostSpanAroundEach) {
  Profile profile;
  fill_example(profile);
  const Nesting nesting = nest(profile);
  EXPECT_EQ(parent_name(profile, nesting, 0), "aten::conv2d");
  EXPECT_EQ(parent_name(profile, nesting, 2), "measure");
  EXPECT_EQ(parent_name(profile, nesting, 3), "measure");
  EXPECT_EQ(parent_name(profile, nesting, 4), "row");
  EXPECT_EQ(parent_name(profile, nesting, 5), "none");
  EXPECT_EQ(parent_name(profile, nesting, 6), "none") << "another thread's";
}

TEST(Nest, SpansOfTheSameTimesNestByKindThenByWhichEndedFirst) {
  Profile profile;
  add_host(profile, HostKind::cuda_call, "call", 10, 20);
  add_host(profile, HostKind::range, "inner", 10, 20);
  add_host(profile, HostKind::range, "outer", 10, 20);
  const Nesting nesting = nest(profile);
  EXPECT_EQ(parent_name(profile, nesting, 0), "inner");
  EXPECT_EQ(parent_name(profile, nesting, 1), "outer");
  EXPECT_EQ(parent_name(profile, nesting, 2), "none");
}

TEST(Nest, AdjacentSpansAreSiblingsAndOneThatOutlivesItsParentIsCut) {
  Profile profile;
  add_host(profile, HostKind::range, "first", 0, 10);
  add_host(profile, HostKind::range, "second", 10, 20);
  add_host(profile, HostKind::range, "too long", 15, 25);
  const Nesting nesting = nest(profile);
  EXPECT_EQ(parent_name(profile, nesting, 1), "none");
  EXPECT_EQ(parent_name(profile, nesting, 2), "second");
  EXPECT_EQ(nesting.end_ns[2], 20);
}

TEST(Nest, WorkOfAThreadWithoutRangesIsAdoptedByTheOneThreadThatWaitsInARange) {
  Profile profile;
  add_host(profile, HostKind::range, "backward", 100, 200);
  add_host(profile, HostKind::range, "step", 0, 300);
  add_host(profile, HostKind::operator_call, "inside", 120, 150, 0, /*thread=*/2);
  add_host(profile, HostKind::operator_call, "across", 190, 210, 0, /*thread=*/2);
  add_host(profile, HostKind::operator_call, "after", 310, 320, 0, /*thread=*/2);
  Nesting nesting = nest(profile);
  EXPECT_EQ(nesting.adopted_by[2], 0u);
  EXPECT_EQ(nesting.adopted_by[3], 1u) << "the range that holds all of it";
  EXPECT_EQ(nesting.adopted_by[4], kNoParent);
  EXPECT_EQ(nesting.parent[2], kNoParent) << "its CPU time is its own thread's";
  EXPECT_EQ(nesting.outside(2), 0u);
  EXPECT_EQ(nesting.outside(0), 1u);
  add_host(profile, HostKind::range, "another step", 110, 160, 0, /*thread=*/3);
  nesting = nest(profile);
  EXPECT_EQ(nesting.adopted_by[2], kNoParent) << "either may have asked for it";
  EXPECT_EQ(nesting.adopted_by[5], kNoParent) << "ranges are nobody's work";
}

TEST(LaunchingCalls, AreFoundByCorrelationAlsoForEveryNodeOfAGraph) {
  Profile profile;
  fill_example(profile);
  EXPECT_THAT(launching_calls(profile, nest(profile)), testing::ElementsAre(0, 1, 3, 3, kNoParent));
}

TEST(MissingRecords, ACompleteProfileMissesNone) {
  Profile profile;
  fill_example(profile);
  EXPECT_EQ(missing_records(profile), "");
}

TEST(MissingRecords, ALaunchWithoutAKernelIsSaid) {
  Profile profile;
  fill_example(profile);
  profile.device.erase(profile.device.begin() + 1);
  EXPECT_THAT(missing_records(profile), HasSubstr("1 of 3 launches"));
  EXPECT_THAT(missing_records(profile), HasSubstr("cudaLaunchKernel"));
}

TEST(MissingRecords, RecordsThatCuptiDroppedAreSaid) {
  Profile profile;
  fill_example(profile);
  profile.lost_records = 12;
  EXPECT_THAT(missing_records(profile), HasSubstr("CUPTI dropped 12 records"));
}

TEST(MissingRecords, LaunchesUnderCaptureNeedNoneButOnlyOnTheirThread) {
  Profile profile;
  add_host(profile, HostKind::cuda_call, "cudaStreamBeginCapture", 0, 10);
  add_host(profile, HostKind::cuda_call, "cudaLaunchKernel", 20, 30, 1);
  add_host(profile, HostKind::cuda_call, "cudaStreamEndCapture", 40, 50);
  EXPECT_EQ(missing_records(profile), "");
  add_host(profile, HostKind::cuda_call, "cudaLaunchKernel", 60, 70, 2);
  EXPECT_THAT(missing_records(profile), HasSubstr("1 of 1"));
  add_host(profile, HostKind::cuda_call, "cudaLaunchKernel", 20, 30, 3, /*thread=*/2);
  EXPECT_THAT(missing_records(profile), HasSubstr("2 of 2"));
}

}  // namespace
}  // namespace lcnn::profiles
