#include "reports/item_scanner.h"

#include <gmock/gmock.h>

#include "reports/merge.h"
#include "reports/report_items.h"
#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using nlohmann::ordered_json;

class ItemScannerTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
};

// 3 MB: strings, escapes and brackets lie across the places where the file is read on.
TEST_F(ItemScannerTest, ObjectsAndTheRestAreTheText) {
  ordered_json document{{"context", {{"a", {{"b", {{{"c", 1}}}}}}}}, {"rows", ordered_json::array()}};
  for (int i = 0; i < 20000; ++i) {
    ordered_json& rows = document["rows"];
    if (i % 7 == 0) rows.push_back(ordered_json::array({{{"]", "}"}}, i}));
    if (i % 11 == 0) rows.push_back("{\"[\\");
    rows.push_back({{"name", std::string(i % 5, '\\') + "\"}]" + std::string(i % 97, 'x')},
                    {"at", {{"{", {i, "[\""}}}}});
  }
  const std::string path = folder_.file("report.json", document);
  const ScannedText scanned = scan_items(path);
  const SpanReader reader(path);
  ordered_json rest = ordered_json::parse(scanned.rest);
  std::size_t next = 0;
  for (ordered_json& row : rest["rows"]) {
    if (row.is_object()) row = ordered_json::parse(reader.text(scanned.objects.at(next++)));
  }
  EXPECT_EQ(next, scanned.objects.size());
  EXPECT_EQ(rest, document);

  const ReportItems items = find_items(path);
  ASSERT_EQ(items.rows.items.size(), document["rows"].size());
  EXPECT_EQ(items.others, (ordered_json{{"context", document["context"]}}));
  SpanSequence texts(reader);
  for (std::size_t i = 0; i < document["rows"].size(); ++i) {
    ASSERT_EQ(items.rows.items[i].has_value(), document["rows"][i].is_object());
    if (!document["rows"][i].is_object()) continue;
    EXPECT_EQ(ordered_json::parse(texts.text(*items.rows.items[i])), document["rows"][i]);
  }
  EXPECT_EQ(ordered_json::parse(texts.text(scanned.objects[3])),
            ordered_json::parse(reader.text(scanned.objects[3])));
  EXPECT_THAT(refusal([&] { texts.text({.offset = 100, .length = 1ULL << 30}); }),
              testing::HasSubstr("changed"));
}

TEST_F(ItemScannerTest, ListsOfOtherNamesKeepTheirContent) {
  const ordered_json document{{"more", {{{"a", 1}}, 2, {{"b", {3}}}}}, {"rows", {{{"name", "x"}}}}};
  EXPECT_EQ(find_items(folder_.file("report.json", document)).others,
            (ordered_json{{"more", document["more"]}}));
}

TEST_F(ItemScannerTest, WhatIsNoJsonIsRefusedWithItsLine) {
  const auto refused = [&](const std::string& text) {
    return refusal([&] { find_items(folder_.file("report.json", text)); });
  };
  EXPECT_THAT(refused("{\"rows\": [\n{\"a\": 1}\n{\"b\": 1}]}"), testing::HasSubstr("is no JSON: line 3: "));
  EXPECT_THAT(refused("{\"rows\": [\n{\"a\": 1}"), testing::HasSubstr("is no JSON: line 2: "));
  EXPECT_THAT(refused("{\"rows\": [\n{\"a\": \"}]}"), testing::HasSubstr("is no JSON: line 2: "));
  EXPECT_THAT(refused("{\"more\": [\n{\"a\" 1}]}"), testing::HasSubstr("is no JSON: line 2: "));
  EXPECT_THAT(refused("[[{\"a\": 1}]]"), testing::HasSubstr("it is a list"));
  EXPECT_THAT(refused("{\"rows\": [" + std::string(100, '[')),
              testing::HasSubstr("nested more than 64 deep"));
  // In the objects themselves whoever reads them looks.
  ordered_json report = fixture();
  std::string text = report.dump(0);
  text.replace(text.find("\"real_time\": "), 13, "\"real_time\" 3");
  const std::string path = folder_.file("report.json", text);
  EXPECT_THAT(refusal([&] { merge({path}); }), testing::HasSubstr("is no JSON: line "));
}

}  // namespace
}  // namespace lcnn::reports
