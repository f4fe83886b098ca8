#include "profiles/cpu_counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace lcnn::profiles {
namespace {

// At least `rounds` instructions that no compiler removes.
void work(int rounds) {
  volatile int sum = 0;
  for (int i = 0; i < rounds; ++i) sum = sum + i;
}

TEST(CpuCounters, CountInstructionsOfThisAndOfNewThreadsOrSayWhyNot) {
  CpuCounters counters;
  if (!counters.why_not().empty()) {
    EXPECT_THAT(counters.why_not(), testing::StartsWith("CPU counters: off, "));
    EXPECT_FALSE(counters.counts().cycles);
    counters.start();
    counters.stop();
    GTEST_SKIP() << counters.why_not();
  }
  constexpr int kRounds = 10'000'000;
  work(kRounds);
  EXPECT_EQ(counters.counts().instructions.value_or(0), 0) << "nothing is counted before start";
  counters.start();
  work(kRounds);
  counters.stop();
  const double one = counters.counts().instructions.value_or(0);
  EXPECT_GT(one, kRounds);
  work(kRounds);
  EXPECT_EQ(counters.counts().instructions.value_or(0), one) << "nor after stop";
  counters.start();
  std::thread(work, kRounds).join();
  counters.stop();
  EXPECT_GT(counters.counts().instructions.value_or(0), one + kRounds);
}

TEST(CpuCounts, DifferencesAreSharedOutToRunsAndAbsentCountsStayAbsent) {
  const CpuCounts before{.cycles = 100, .instructions = 200},
      after{.cycles = 300, .instructions = 700, .cache_misses = 5};
  const CpuCounts run = after.since(before, 2);
  EXPECT_EQ(run.cycles, 100);
  EXPECT_EQ(run.instructions, 250);
  EXPECT_FALSE(run.cache_misses);
  EXPECT_EQ(to_text(run), "cycles 100, instructions 250 (2.50 a cycle), cache misses not counted");
}

}  // namespace
}  // namespace lcnn::profiles
