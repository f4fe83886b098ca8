#include "reports/history.h"

#include <gmock/gmock.h>

#include <functional>

#include "reports/change_points.h"
#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

constexpr std::size_t kReports = 12, kRows = 40, kConv2d = 10;

// Reports of days that follow one another: rows of 10 us of one layer, the first ones Conv2d's, with the
// noise of processes. `factor` is how many times as long a row took in a report.
std::vector<Report> days(std::uint64_t seed, const Noise& noise,
                         const std::function<double(std::size_t report, std::size_t row)>& factor) {
  std::vector<Report> reports;
  for (std::size_t i = 0; i < kReports; ++i) {
    Report report{.path = fmt::format("{}.json", i),
                  .context = {{"date", fmt::format("2026-12-{:02}T10:00:00+00:00", i + 1)},
                              {"git/commit", fmt::format("c{:02}", i)},
                              {"device/name", "machine"}}};
    for (std::size_t j = 0; j < kRows; ++j) {
      report.rows.push_back(
          measured(fmt::format("row{:02}", j),
                   noisy_samples(seed * 10'000 + i * 100 + j, 30, 10 * factor(i, j), noise)));
      report.rows.back().kind = j < kConv2d ? "conv2d" : "lookup";
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

TEST(HistoryTest, NoiseHasNoChange) {
  std::size_t changes = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const Noise& noise : {kQuietNoise, kLoudNoise})
      changes += history_of(days(seed, noise, [](auto, auto) { return 1.0; }), {}).changes.size();
  }
  EXPECT_EQ(changes, 0);
}

TEST(HistoryTest, ASlowDownIsNamedByItsCommit) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const History history =
        history_of(days(seed, kLoudNoise, [](auto i, auto j) { return j == 20 && i >= 7 ? 1.15 : 1.0; }), {});
    ASSERT_EQ(history.changes.size(), 1) << seed;
    const Change& change = history.changes[0];
    EXPECT_EQ(change.name, "row20");
    EXPECT_EQ(change.last_before, "c06");
    EXPECT_EQ(change.first_after, "c07");
    EXPECT_NEAR(change.after / change.before, 1.15, 0.04);
    EXPECT_TRUE(history.regressed());
  }
}

TEST(HistoryTest, OneThatWasRepairedIsNoRegression) {
  const History history = history_of(
      days(1, kQuietNoise, [](auto i, auto j) { return j == 20 && i >= 4 && i < 8 ? 1.5 : 1.0; }), {});
  ASSERT_EQ(history.changes.size(), 2);
  EXPECT_TRUE(history.changes[0].faster);
  EXPECT_TRUE(history.changes[1].slower);
  EXPECT_FALSE(history.regressed());
}

TEST(HistoryTest, WhereConv2dChangesTooTheMachineDid) {
  const History history =
      history_of(days(1, kQuietNoise, [](auto i, auto) { return i >= 6 ? 1.3 : 1.0; }), {});
  EXPECT_EQ(history.changes.size(), kRows);
  EXPECT_FALSE(history.regressed());
  EXPECT_THAT(console(history), HasSubstr("machine    row39\n           after c05, by c06"));
}

TEST(HistoryTest, OneReportAloneIsNoChange) {
  for (const std::size_t report : {std::size_t{0}, std::size_t{5}, kReports - 1}) {
    const History history =
        history_of(days(1, kQuietNoise, [&](auto i, auto) { return i == report ? 1.6 : 1.0; }), {});
    EXPECT_TRUE(history.changes.empty()) << report;
  }
}

TEST(HistoryTest, TheOrderIsThatOfTheDatesAndGapsAreFine) {
  auto reports = days(1, kQuietNoise, [](auto i, auto j) { return j == 20 && i >= 7 ? 1.5 : 1.0; });
  reports[6].rows.erase(reports[6].rows.begin() + 20);
  reports[3].rows[20].disposition = "error";
  for (Report& report : reports) {
    if (report.path > "3") std::erase_if(report.rows, [](const Row& row) { return row.name == "row30"; });
  }
  std::ranges::reverse(reports);
  const History history = history_of(reports, {});
  ASSERT_EQ(history.changes.size(), 1);
  EXPECT_EQ(history.changes[0].last_before, "c05");
  EXPECT_EQ(history.changes[0].first_after, "c07");
  EXPECT_EQ(history.rows, kRows - 1);
  EXPECT_THAT(history.too_short, testing::ElementsAre("row30"));
}

TEST(HistoryTest, ThresholdsAreThoseOfCompare) {
  const auto reports = days(1, kQuietNoise, [](auto i, auto j) { return j == 20 && i >= 7 ? 1.2 : 1.0; });
  const auto loose = Thresholds::parse({{"rows", {{{"name", "row20"}, {"time", 0.3}}}}});
  EXPECT_TRUE(history_of(reports, loose).changes.empty());
  EXPECT_EQ(history_of(reports, {}).changes.size(), 1);
}

class HistoryProgramTest : public testing::Test {
 protected:
  // The fixture as reports of days that follow one another, its last row slower from the eighth on.
  void write_days(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      ordered_json report = fixture();
      report["context"]["date"] = fmt::format("2026-12-{:02}T10:00:00+00:00", i + 1);
      report["context"]["git"]["commit"] = fmt::format("{:040}", i);
      if (i >= 7) slow_down(report["rows"][5], 1.2);
      folder_.file(fmt::format("{}.json", i), report);
    }
  }
  Outcome history(const std::string& options = "") {
    return lcnn_report(fmt::format("history {} {}", folder_ / "", options));
  }
  TemporaryFolder folder_;
};

TEST_F(HistoryProgramTest, ExitCodesAndFormats) {
  write_days(7);
  EXPECT_EQ(history().code, 0) << history().output;
  write_days(10);
  const Outcome console = history(), markdown = history("--format=markdown"), json = history("--format=json");
  EXPECT_EQ(console.code, 1);
  EXPECT_THAT(console.output, HasSubstr("after 000000000000, by 000000000000"));
  EXPECT_EQ(markdown.code, 1);
  EXPECT_THAT(markdown.output, HasSubstr("| **slower** | <code>Lookup/precompute"));
  const ordered_json document = ordered_json::parse(json.output);
  EXPECT_EQ(document["regressed"], true);
  EXPECT_EQ(document["reports"].size(), 10);
  ASSERT_EQ(document["changes"].size(), 1);
  EXPECT_NEAR(
      document["changes"][0]["after_us"].get<double>() / document["changes"][0]["before_us"].get<double>(),
      1.2, 1e-6);
}

TEST_F(HistoryProgramTest, WhatHasNoHistoryIsOneLine) {
  const auto refused = [&](const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.output, HasSubstr(part));
    EXPECT_EQ(std::ranges::count(outcome.output, '\n'), 1) << outcome.output;
  };
  write_days(5);
  refused(history(), "holds 5 reports (*.json), a history needs 6");
  refused(lcnn_report("history " + (folder_ / "absent")), "absent: No such file");
  write_days(7);
  ordered_json other = fixture();
  other["context"]["device"]["name"] = "another";
  folder_.file("z.json", other);
  refused(history(), "no common history: device/name");
  folder_.file("z.json", std::string("{"));
  refused(history(), "z.json: is no JSON");
}

}  // namespace
}  // namespace lcnn::reports
