#include "reports/merge.h"

#include <gmock/gmock.h>

#include "reports/reports_test_support.h"
#include "reports/schema.h"

namespace lcnn::reports {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

// The fixture with the rows [begin, end) only.
ordered_json part(std::size_t begin, std::size_t end) {
  ordered_json document = fixture();
  const ordered_json all = document["rows"], benchmarks = document["benchmarks"];
  document["rows"] = document["benchmarks"] = ordered_json::array();
  for (std::size_t i = begin; i < end; ++i) {
    document["rows"].push_back(all[i]);
    for (ordered_json benchmark : benchmarks) {
      if (benchmark["name"] != all[i]["name"]) continue;
      benchmark["family_index"] = i - begin;
      document["benchmarks"].push_back(benchmark);
    }
  }
  return document;
}

ordered_json written(const Merged& merged) {
  std::ostringstream out;
  write_report(merged, out);
  return ordered_json::parse(out.str());
}

class MergeTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
};

TEST_F(MergeTest, PartsMakeTheWhole) {
  const Merged merged = merge({folder_.file("a.json", part(0, 2)), folder_.file("b.json", part(2, 6))});
  EXPECT_EQ(written(merged), fixture());
  EXPECT_TRUE(merged.notes.empty());
}

TEST_F(MergeTest, TheLaterFileWinsAndThatIsSaid) {
  ordered_json later = part(1, 2);
  slow_down(later["rows"][0], 2);
  const Merged merged = merge({folder_.file("a.json", part(0, 3)), folder_.file("b.json", later)});
  const ordered_json report = written(merged);
  ASSERT_EQ(report["rows"].size(), 3);
  EXPECT_EQ(report["rows"][1], later["rows"][0]);
  ASSERT_EQ(merged.notes.size(), 1);
  EXPECT_THAT(merged.notes[0], HasSubstr("takes the place"));
  EXPECT_EQ(report["benchmarks"].size(), part(0, 3)["benchmarks"].size());
}

TEST_F(MergeTest, RowsOfSeveralLinesBecomeOne) {
  const Merged merged = merge({folder_.file("a.json", part(0, 6).dump(3))});
  std::ostringstream out;
  write_report(merged, out);
  EXPECT_EQ(ordered_json::parse(out.str()), fixture());
  EXPECT_LT(std::ranges::count(out.str(), '\n'), 200);
}

TEST_F(MergeTest, OtherMachinesAndCommitsAreRefused) {
  const std::string first = folder_.file("a.json", part(0, 2));
  ordered_json other = part(2, 4);
  other["context"]["git"]["commit"] = "0123";
  EXPECT_THAT(refusal([&] { merge({first, folder_.file("b.json", other)}); }), HasSubstr("git/commit is "));
  other = part(2, 4);
  other["context"]["device"]["name"] = "another";
  EXPECT_THAT(refusal([&] { merge({first, folder_.file("b.json", other)}); }), HasSubstr("device/name is "));
  const std::string google = folder_.file("c.json", std::string(R"({"benchmarks": []})"));
  EXPECT_THAT(refusal([&] { merge({first, google}); }), HasSubstr("no report of lcnn_bench"));
  other = part(2, 4);
  other["benchmarks"][0]["name"] = "stray";
  EXPECT_THAT(refusal([&] { merge({folder_.file("b.json", other)}); }), HasSubstr("belongs to no row"));
}

TEST_F(MergeTest, TheProgramWritesAValidReportWhole) {
  const std::string a = folder_.file("a.json", part(0, 4)), b = folder_.file("b.json", part(3, 6));
  const Outcome merged = lcnn_report(fmt::format("merge {} {} {}", folder_ / "out.json", a, b));
  EXPECT_EQ(merged.code, 0) << merged.output;
  EXPECT_THAT(merged.output, HasSubstr("takes the place of"));
  EXPECT_EQ(read_json(folder_ / "out.json"), fixture());
  EXPECT_EQ(folder_.size(), 3);  // nothing is left beside it
  const auto violations = schema_violations(nlohmann::json(read_json(folder_ / "out.json")));
  EXPECT_THAT(violations.value_or(std::vector<std::string>()), testing::IsEmpty());

  EXPECT_EQ(lcnn_report(fmt::format("merge {} {} {}", a, a, b)).code, 0);  // into one of them
  EXPECT_EQ(read_json(a), fixture());
  const Outcome failed = lcnn_report(fmt::format("merge {}/absent/out.json {}", folder_ / "", a));
  EXPECT_EQ(failed.code, 2);
  EXPECT_THAT(failed.output, HasSubstr("cannot be written"));
}

}  // namespace
}  // namespace lcnn::reports
