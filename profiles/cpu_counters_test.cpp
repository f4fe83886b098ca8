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
    EXPECT_EQ(counters.text(), counters.why_not());
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
  EXPECT_THAT(counters.text(), testing::HasSubstr("instructions "));
}

}  // namespace
}  // namespace lcnn::profiles
