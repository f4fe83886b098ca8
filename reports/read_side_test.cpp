#include "reports/read_side.h"

#include <gmock/gmock.h>

#include "reports/compare.h"
#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

// On a machine that is busy for 40% of the time.
std::vector<double> process(std::uint64_t seed, double microseconds) {
  return noisy_samples(seed, 60, microseconds,
                       {.spread = 0.03, .correlation = 0.3, .drift = 0.02, .outliers = 0.4, .between = 0.02});
}

class ReadSideTest : public testing::Test {
 protected:
  ordered_json report(std::uint64_t seed, double microseconds) {
    ordered_json document = fixture();
    document["rows"][4]["timing"]["samples_us"] = process(seed, microseconds);
    return document;
  }
  // FILE,FILE,...
  std::string side(const std::string& name, std::uint64_t seed, double microseconds, int processes = 7) {
    std::string files;
    for (int i = 0; i < processes; ++i)
      files +=
          fmt::format("{},", folder_.file(fmt::format("{}{}.json", name, i), report(seed + i, microseconds)));
    files.pop_back();
    return files;
  }
  TemporaryFolder folder_;
};

TEST_F(ReadSideTest, ProcessesHaveAValueEach) {
  const std::string files = side("a", 1, 50);
  const Report joined = read_side(files);
  EXPECT_EQ(joined.processes, 7);
  ASSERT_EQ(joined.rows[4].samples_us.size(), 7);
  EXPECT_TRUE(joined.rows[4].of_processes);
  EXPECT_EQ(joined.rows[4].samples_us[1], fast_of(process(2, 50)));
  EXPECT_EQ(joined.rows[4].peak_bytes, read_report(kFixture).rows[4].peak_bytes);
  EXPECT_EQ(files_of_side(files).size(), 7);
  EXPECT_EQ(files_of_side(folder_ / ""), files_of_side(files));
  EXPECT_FALSE(read_side(kFixture).rows[4].of_processes);
}

TEST_F(ReadSideTest, OneBuildIsSameAndTenPercentAreFound) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Report base = read_side(side("base", 100 * seed, 50));
    const std::string name = base.rows[4].name;
    for (const double time : {50.0, 55.0}) {
      const Comparison comparison = compare(base, read_side(side("now", 100 * seed + 14, time)), {}, {});
      const auto row = std::ranges::find(comparison.rows, name, &ComparedRow::name);
      EXPECT_EQ(row->overall(), time > 50 ? Verdict::worse : Verdict::same)
          << "seed " << seed << ", " << time;
    }
  }
}

// One kernel took 1.5 times as long in some processes, for as long as they ran.
TEST_F(ReadSideTest, AProcessThatIsSlowAsAWholeIsNoRegression) {
  const Report base = read_side(side("base", 1, 50));
  const std::string slow =
      folder_.file("slow.json", report(40, 75)) + "," + folder_.file("slow2.json", report(41, 75));
  EXPECT_FALSE(compare(base, read_side(side("now", 20, 50, 5) + "," + slow), {}, {}).regressed());
}

TEST_F(ReadSideTest, TheIntervalCoversWhateverTheDistribution) {
  std::mt19937_64 random(1);
  std::exponential_distribution<double> exponential;
  for (const std::size_t count : {5, 7, 12}) {
    int outside = 0;
    for (int repetition = 0; repetition < 2000; ++repetition) {
      std::vector<double> base, now;
      for (std::size_t i = 0; i < count; ++i) {
        base.push_back(std::exp(exponential(random)));
        now.push_back(std::exp(exponential(random)));
      }
      const Interval interval = ratio_interval_of_processes(base, now);
      outside += !(interval.low <= 1 && interval.high >= 1);
    }
    EXPECT_LE(outside, 33) << count;  // 20 are expected at most, with a standard deviation of 4.5
    EXPECT_GT(outside, 2) << count;
  }
}

TEST_F(ReadSideTest, ARowThatOneProcessDidNotMeasureIsARegression) {
  ordered_json failed = report(3, 50);
  failed["rows"][4]["disposition"] = "error";
  failed["rows"][4]["reason"] = "out of memory";
  const std::string now = side("now", 10, 50) + "," + folder_.file("failed.json", failed);
  const Comparison comparison = compare(read_side(side("base", 1, 50)), read_side(now), {}, {});
  EXPECT_TRUE(comparison.regressed());
  EXPECT_EQ(comparison.rows.front().note, "out of memory");
}

TEST_F(ReadSideTest, WhatIsNotOneSideIsRefused) {
  const std::string base = side("base", 1, 50);
  const auto refused_with = [&](const std::string& edit, const ordered_json& value) {
    ordered_json other = report(3, 50);
    other[ordered_json::json_pointer(edit)] = value;
    return refusal([&] { read_side(base + "," + folder_.file("other.json", other)); });
  };
  EXPECT_THAT(refused_with("/context/git/commit", "abc"), HasSubstr("are not of one side: git/commit"));
  EXPECT_THAT(refused_with("/context/device/name", "another"), HasSubstr("are not of one side: device/name"));
  EXPECT_THAT(refused_with("/rows/4/name", "Lookup/b"), HasSubstr("is in one only"));
  EXPECT_THAT(refusal([&] { compare(read_side(base), read_report(kFixture), {}, {}); }),
              HasSubstr("one is a single process"));
  std::filesystem::create_directory(folder_ / "empty");
  EXPECT_THAT(refusal([&] { read_side(folder_ / "empty"); }), HasSubstr("has no reports"));
  EXPECT_THAT(refusal([&] { read_side(folder_ / "absent"); }), HasSubstr("absent: No such file"));
  const Comparison few =
      compare(read_side(side("few", 1, 50, 4)), read_side(side("few_too", 1, 50, 4)), {}, {});
  EXPECT_THAT(few.rows.front().findings.front().note,
              HasSubstr("BASE has 4 samples, 5 are needed, one a process"));
}

}  // namespace
}  // namespace lcnn::reports
