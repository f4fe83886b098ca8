#include "reports/write_comparison.h"

#include <gmock/gmock.h>

#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kHostile =
    "Lookup/a|b`c`<script>alert(1)</script>]]>\n## \"x\" & @user \x1b[2J\xef\xbf\xbf";

Report report_of(std::vector<Row> rows) {
  return {.path = "a.json",
          .context = {{"device/name", "GPU <1>"}, {"git/commit", "0123456789abcdef"}},
          .rows = rows};
}

// One row of each kind: slower, failed, faster, unknown, same, added, removed.
Comparison example() {
  const auto row = [](const std::string& name, double time) {
    return measured(name, noisy_samples(static_cast<std::uint64_t>(time), 30, time, kQuietNoise));
  };
  Row failed = row("Lookup/failed", 50);
  failed.disposition = "error";
  failed.reason = "out of <memory>";
  return compare(report_of({row("Lookup/same", 50), row("Lookup/slower", 50), row(kHostile, 50),
                            row("Lookup/faster", 50), row("Lookup/failed", 50),
                            measured("Lookup/unknown", {1, 2}), row("Lookup/removed", 50)}),
                 report_of({row("Lookup/same", 50), row("Lookup/slower", 60), row(kHostile, 70),
                            row("Lookup/faster", 40), failed, measured("Lookup/unknown", {1, 2}),
                            row("Lookup/added", 50)}),
                 {}, {});
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
  return found;
}

TEST(WriteComparisonTest, TheWorstComesFirst) {
  const Comparison comparison = example();
  std::vector<std::string> names;
  for (const ComparedRow& row : comparison.rows) names.push_back(row.name);
  EXPECT_THAT(names, testing::ElementsAre("Lookup/failed", kHostile, "Lookup/slower", "Lookup/unknown",
                                          "Lookup/faster", "Lookup/same"));
  EXPECT_THAT(comparison.added, testing::ElementsAre("Lookup/added"));
  EXPECT_THAT(comparison.removed, testing::ElementsAre("Lookup/removed"));
  EXPECT_EQ(summary(comparison),
            "3 of 6 rows are worse, 1 better, 1 unknown, 1 the same; 1 added, 1 removed");
}

TEST(WriteComparisonTest, ConsoleHasOneLineANameAndNoControlCharacters) {
  const std::string text = console(example());
  for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
  EXPECT_THAT(text, HasSubstr("WORSE    Lookup/failed\n         was measured, is error: out of <memory>\n"));
  EXPECT_THAT(text, HasSubstr("slower: 49.9 us to 60.0 us (+20.3%, 99% interval +"));
  EXPECT_THAT(text, HasSubstr("BASE has 2 samples, 5 are needed"));
  EXPECT_THAT(text, HasSubstr("added    Lookup/added\nremoved  Lookup/removed\n"));
}

TEST(WriteComparisonTest, MarkdownIsATableWhateverTheNames) {
  const std::string text = markdown(example());
  EXPECT_THAT(text, HasSubstr("### lcnn_report: regression"));
  EXPECT_THAT(text, Not(HasSubstr("<script")));
  EXPECT_THAT(text, Not(HasSubstr("@user")));
  EXPECT_THAT(text, Not(HasSubstr("`")));
  EXPECT_EQ(count(text, "<details>"), 1);
  EXPECT_EQ(count(text, "</details>"), 1);
  std::size_t columns = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("|")) {
      columns = 0;
      continue;
    }
    const auto bars = static_cast<std::size_t>(std::ranges::count(line, '|'));
    if (columns == 0) columns = bars;
    EXPECT_EQ(bars, columns) << line;
  }
}

TEST(WriteComparisonTest, MarkdownOfManyRowsFitsAComment) {
  std::vector<Row> base, now;
  for (int i = 0; i < 1000; ++i) {
    base.push_back(measured(fmt::format("Lookup/row with a <long> name, of the kind that layers have/{}", i),
                            std::vector<double>(9, 5.0)));
    now.push_back(base.back());
    now.back().samples_us.assign(9, 8.0);
  }
  const std::string text = markdown(compare(report_of(base), report_of(now), {}, {}));
  EXPECT_LT(text.size(), 65'000);
  EXPECT_THAT(text, HasSubstr("more rows changed"));
  EXPECT_THAT(text, HasSubstr("</details>"));
}

TEST(WriteComparisonTest, JsonHoldsEverything) {
  const auto document = nlohmann::json::parse(json(example()));
  EXPECT_EQ(document["regressed"], true);
  EXPECT_EQ(document["counts"]["worse"], 3);
  EXPECT_EQ(document["added"], nlohmann::json({"Lookup/added"}));
  ASSERT_EQ(document["rows"].size(), 6);
  EXPECT_EQ(document["rows"][0]["disposition"]["new"], "error");
  const auto& hostile = document["rows"][1];
  EXPECT_EQ(hostile["name"], kHostile);
  const auto& time = hostile["metrics"]["time"];
  EXPECT_EQ(time["verdict"], "slower");
  EXPECT_GT(time["interval"][0], 1.05);
  EXPECT_GT(time["interval"][1], time["ratio"]);
  EXPECT_EQ(document["rows"][3]["metrics"]["time"]["interval"], nullptr);
}

TEST(WriteComparisonTest, JunitCountsItsCases) {
  const std::string text = junit(example());
  EXPECT_THAT(text, HasSubstr("tests=\"6\" failures=\"3\" errors=\"0\" skipped=\"1\""));
  EXPECT_EQ(count(text, "<testcase "), 6);
  EXPECT_EQ(count(text, "<failure "), 3);
  EXPECT_EQ(count(text, "<skipped "), 1);
  EXPECT_THAT(text, Not(HasSubstr("<script")));
}

// By a real parser: python3's.
TEST(WriteComparisonTest, JunitIsWellFormed) {
  if (std::system("python3 -c 'import xml.etree.ElementTree' 2>/dev/null") != 0) GTEST_SKIP() << "no python3";
  const TemporaryFolder folder;
  const std::string path = folder.file("junit.xml", junit(example()));
  EXPECT_EQ(std::system(fmt::format("python3 -c 'import sys, xml.etree.ElementTree as tree; "
                                    "sys.exit(len(tree.parse(\"{}\").findall(\".//testcase\")) != 6)'",
                                    path)
                            .c_str()),
            0);
}

}  // namespace
}  // namespace lcnn::reports
