#include "bench/console.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "bench/test_support.h"

namespace lcnn::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The original's comparison as it came out on an H200: 0.08 ms and 74.06 MB against 2.54 ms and 61.56 MB.
std::vector<Row> original_comparison() {
  Row conv2d = measured_row(VariantKind::conv2d, "library", 80);
  conv2d.memory = Memory{.weights = 295424, .input = 12845056, .output = 25690112, .workspace = 38826947};
  conv2d.speedup = conv2d.memory_ratio = 1.0;
  Row lookup = measured_row(VariantKind::lookup, "naive_sparse", 2540);
  lookup.memory = Memory{.weights = 24568, .input = 12845056, .output = 25690112, .workspace = 25990603};
  lookup.speedup = 80.0 / 2540;
  lookup.memory_ratio = 1.203;
  lookup.memory_difference = "workspace: 24.79 MB against 37.03 MB";
  return {conv2d, lookup};
}

TEST(OriginalLines, AreTheOriginalsFour) {
  const std::vector<std::string> lines = lines_of(original_lines(original_comparison()));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0], "Conv2d - Avg time: 0.0800 ms, Memory usage: 74.06 MB");
  EXPECT_EQ(lines[1], "LookupConv2d - Avg time: 2.5400 ms, Memory usage: 61.56 MB");
  EXPECT_EQ(lines[2], "Speed difference: 0.03x");
  EXPECT_EQ(lines[3], "Memory difference: 1.20x");
  EXPECT_THAT(lines[4], AllOf(StartsWith("  ("), HasSubstr("Lookup/naive_sparse/set/layer/d4s1/n2/fp32"),
                              HasSubstr("Conv2d/library/set/layer/n2/fp32"),
                              HasSubstr("workspace: 24.79 MB against 37.03 MB")));
}

TEST(OriginalLines, CompareTheFastestOfEachKind) {
  std::vector<Row> rows = original_comparison();
  Row quick = measured_row(VariantKind::lookup, "quick", 40);
  quick.speedup = 2;
  Row slow_library = measured_row(VariantKind::conv2d, "slow", 9000);
  Row quicker_but_wrong =
      failed_row(VariantKind::lookup, "wrong", Disposition::incorrect, "above the tolerance");
  Row peer = measured_row(VariantKind::peer, "peer", 1);
  rows.insert(rows.end(), {quick, slow_library, quicker_but_wrong, peer});
  const std::vector<std::string> lines = lines_of(original_lines(rows));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], StartsWith("Conv2d - Avg time: 0.0800 ms"));
  EXPECT_THAT(lines[1], StartsWith("LookupConv2d - Avg time: 0.0400 ms"));
  EXPECT_EQ(lines[2], "Speed difference: 2.00x");
}

TEST(OriginalLines, AreAbsentWhereNothingCanBeCompared) {
  EXPECT_EQ(original_lines({}), "");
  EXPECT_EQ(original_lines({measured_row(VariantKind::conv2d, "library", 80)}), "");
  EXPECT_EQ(original_lines({failed_row(VariantKind::conv2d, "library", Disposition::error, "no engine"),
                            measured_row(VariantKind::lookup, "quick", 40)}),
            "");
}

TEST(SummaryTable, ListsTheFastestFirstAndFailuresWithTheirReasonsLast) {
  const std::vector<std::string> lines = lines_of(summary_table(
      {failed_row(VariantKind::lookup, "wrong", Disposition::incorrect,
                  "rel_err 5.00e-01 is above the tolerance"),
       measured_row(VariantKind::conv2d, "library", 50),
       failed_row(VariantKind::lookup, "picky", Disposition::unsupported, "dilation is not supported"),
       measured_row(VariantKind::lookup, "quick", 20.126)}));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("median us"), HasSubstr("rel_err"), HasSubstr("speed-up"),
                              HasSubstr("peak MB")));
  EXPECT_THAT(lines[1], StartsWith("Lookup/quick/"));
  EXPECT_THAT(lines[2], StartsWith("Conv2d/library/"));
  EXPECT_THAT(lines[3], AllOf(StartsWith("Lookup/wrong/"),
                              HasSubstr("incorrect: rel_err 5.00e-01 is above the tolerance")));
  EXPECT_THAT(lines[4],
              AllOf(StartsWith("Lookup/picky/"), HasSubstr("unsupported: dilation is not supported")));
}

TEST(SummaryTable, ShowsARowsNumbersInItsUnits) {
  Row row = measured_row(VariantKind::lookup, "quick", 20.126);
  row.memory = Memory{.output = 3 << 20};
  row.prepare_ms = 12.34;
  std::istringstream line(lines_of(summary_table({row})).at(1));
  std::vector<std::string> words;
  for (std::string word; line >> word;) words.push_back(word);
  EXPECT_THAT(words, ElementsAre(row.name, "20.13", "0.40", "2.50x", "25.0%", "1.0e-07", "3.00", "12.3"));
}

TEST(SummaryTable, SaysWhichRowsWereThrottledOrHaveNoBaseline) {
  Row row = measured_row(VariantKind::lookup, "quick", 20);
  row.clocks = Clocks{.throttle_reasons = {"hw_thermal"}, .throttled = true};
  row.speedup.reset();
  const std::string line = lines_of(summary_table({row})).at(1);
  EXPECT_THAT(line, AllOf(HasSubstr("throttled"), HasSubstr(" - ")));
  row.profiled = Profiled{.unprofiled_median_us = 40, .overhead = 0.25};
  EXPECT_THAT(summary_table({row}), HasSubstr("throttled  under the profiler, +25.0% against 40.00 us without\n"));
  row.profiled.reset();
  row.clocks->throttled = false;
  EXPECT_THAT(summary_table({row}), testing::Not(HasSubstr("throttled")));
}

TEST(Reporters, OnlyKnownFormatsAreMade) {
  for (const char* format : {"console", "json", "csv"}) EXPECT_NE(make_reporter(format), nullptr);
  EXPECT_THAT(refusal([] { make_reporter("xml"); }),
              AllOf(HasSubstr("xml"), HasSubstr("console, json or csv")));
}

}  // namespace
}  // namespace lcnn::bench
