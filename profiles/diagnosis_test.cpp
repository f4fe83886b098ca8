#include "profiles/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace lcnn::profiles {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Half-busy everywhere: latency bounds it.
Counters nothing_stands_out() {
  return {.dram_read_bytes = 1e6, .dram_write_bytes = 2e6, .dram_percent = 40, .l2_percent = 30, .sm_active_percent = 95,
          .issue_percent = 35, .fma_percent = 20, .tensor_percent = 10, .lsu_percent = 25, .occupancy_percent = 60,
          .shared_wavefronts = 1000, .shared_conflicts = 10, .shared_percent = 45};
}

TEST(Diagnosis, TheBusiestUnitBounds) {
  struct Case {
    std::optional<double> Counters::*unit;
    Bound bound;
    const char* text;
  };
  for (const Case& expected : {Case{&Counters::dram_percent, Bound::memory, "memory-bound: DRAM is busy 85%"},
                               Case{&Counters::l2_percent, Bound::l2, "L2-bound: the L2 cache is busy 85%"},
                               Case{&Counters::shared_percent, Bound::shared_memory, "shared-memory-bound: shared memory is busy 85%"},
                               Case{&Counters::tensor_percent, Bound::tensor_cores, "tensor-bound: tensor cores are busy 85%"},
                               Case{&Counters::fma_percent, Bound::arithmetic, "arithmetic-bound: FMA units are busy 85%"},
                               Case{&Counters::lsu_percent, Bound::shared_memory, "load-store-bound: load-store units are busy 85%"},
                               Case{&Counters::issue_percent, Bound::issue, "issue-bound: instructions are issued in 85%"}}) {
    Counters counters = nothing_stands_out();
    counters.*expected.unit = 85;
    EXPECT_EQ(bound_of(counters), expected.bound);
    EXPECT_THAT(diagnosis(counters, {}), StartsWith(expected.text));
    counters.dram_percent = expected.unit == &Counters::dram_percent ? 85 : 70;
    EXPECT_EQ(bound_of(counters), expected.bound) << "the busier of two";
  }
}

TEST(Diagnosis, WithoutABusyUnitIdleSmsThenFewWarpsThenLatencyBound) {
  Counters counters = nothing_stands_out();
  EXPECT_EQ(bound_of(counters), Bound::latency);
  EXPECT_THAT(diagnosis(counters, {}), StartsWith("latency-bound: no unit is busy"));
  counters.occupancy_percent = 12;
  EXPECT_EQ(bound_of(counters), Bound::few_warps);
  EXPECT_THAT(diagnosis(counters, {}), StartsWith("latency-bound by low occupancy: 12%"));
  counters.sm_active_percent = 30;
  EXPECT_EQ(bound_of(counters), Bound::idle_sms);
  EXPECT_THAT(diagnosis(counters, {}), StartsWith("the device is not filled: SMs are active 30%"));
  counters.dram_percent = 60;
  EXPECT_EQ(bound_of(counters), Bound::memory) << "a busy unit comes before them";
}

TEST(Diagnosis, BytesAreComparedWithTheFewest) {
  const Counters counters = nothing_stands_out();
  const LeastWork least{.read_bytes = 0.5e6, .write_bytes = 2e6};
  EXPECT_EQ(byte_comparison(counters, least), "reads 2.0x and writes 1.0x the fewest bytes");
  EXPECT_THAT(diagnosis(counters, least), HasSubstr("; reads 2.0x and writes 1.0x the fewest bytes"));
  EXPECT_EQ(byte_comparison(counters, {}), "");
  EXPECT_EQ(byte_comparison({}, least), "");
  Counters reads_only;
  reads_only.dram_read_bytes = 3e6;
  EXPECT_EQ(byte_comparison(reads_only, {.read_bytes = 1e6, .write_bytes = 1e6}), "reads 3.0x the fewest bytes");
}

TEST(Diagnosis, WhatTheWorkNeedsIsSaid) {
  EXPECT_EQ(work_text(2000, {.read_bytes = 1.2e6, .write_bytes = 4e5, .operations = 8e6}),
            "needs to read 1.2 MB, to write 400 kB, 8e+06 operations: 4e+12 a second");
  EXPECT_EQ(work_text(2000, {.write_bytes = 10}), "needs to write 10 B");
  EXPECT_EQ(work_text(2000, {}), "");
}

TEST(Diagnosis, TimesAreComparedWithTheLeast) {
  EXPECT_EQ(time_comparison(9000, {.time_ns = 4500, .time_of = "bytes"}), "2.0x the time that the fewest bytes need (4.5 us)");
  EXPECT_EQ(time_comparison(9000, {}), "");
}

TEST(Diagnosis, AMemoryBoundReaderOfTooMuchIsToldSo) {
  Counters counters = nothing_stands_out();
  counters.dram_percent = 90;
  EXPECT_THAT(diagnosis(counters, {.read_bytes = 0.5e6}), HasSubstr("read again"));
  EXPECT_THAT(diagnosis(counters, {.read_bytes = 0.95e6}), Not(HasSubstr("read again")));
}

TEST(Diagnosis, BankConflictsAreSaidWhereTheyAreMany) {
  Counters counters = nothing_stands_out();
  EXPECT_THAT(diagnosis(counters, {}), Not(HasSubstr("bank conflicts")));
  counters.shared_conflicts = 400;
  EXPECT_THAT(diagnosis(counters, {}), HasSubstr("40% of shared memory's wavefronts are bank conflicts"));
  counters.shared_wavefronts = 0;
  EXPECT_THAT(diagnosis(counters, {}), Not(HasSubstr("bank conflicts")));
}

TEST(Diagnosis, AbsentCountersAreSaidAndNeverBound) {
  EXPECT_EQ(bound_of({}), Bound::unknown);
  EXPECT_EQ(diagnosis({}, {.read_bytes = 1}), "no counters");
  Counters one;
  one.tensor_percent = 80;
  EXPECT_EQ(bound_of(one), Bound::tensor_cores);
  one.tensor_percent = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(bound_of(one), Bound::latency) << "NaN is not busy";
}

TEST(Diagnosis, EveryBoundHasItsOwnName) {
  std::set<std::string> names;
  for (int bound = 0; bound <= static_cast<int>(Bound::unknown); ++bound) names.insert(to_string(static_cast<Bound>(bound)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Bound::unknown) + 1);
  EXPECT_FALSE(names.contains("?"));
}

}  // namespace
}  // namespace lcnn::profiles
