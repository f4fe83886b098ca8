#include "reports/schema_acceptor.h"

#include <gmock/gmock.h>

#include "reports/reports_test_support.h"
#include "reports/schema.h"

namespace lcnn::reports {
namespace {

using nlohmann::json;

json schema(const json& definition) { return {{"definitions", {{"a", definition}}}}; }

// Else every value would be looked at twice.
TEST(SchemaAcceptorTest, AcceptsWhatLcnnBenchWrites) {
  const json document = json::parse(schema_text());
  const SchemaAcceptor row(document, "row"), benchmark(document, "benchmark");
  for (const std::string& path : {kFixture, std::string(LCNN_REPORTS_FOLDER "/reference/h100/default.json"),
                                  std::string(LCNN_REPORTS_FOLDER "/reference/epyc-2cores/default.json")}) {
    const json report = json(read_json(path));
    for (const json& value : report["rows"]) EXPECT_TRUE(row.accepts(value)) << value["name"];
    for (const json& value : report["benchmarks"]) EXPECT_TRUE(benchmark.accepts(value)) << value["name"];
  }
}

TEST(SchemaAcceptorTest, EveryKeywordRefuses) {
  struct Case {
    json schema, good, bad;
  };
  const Case cases[] = {
      {{{"type", "integer"}}, 3, "3"},
      {{{"type", {"string", "null"}}}, nullptr, false},
      {{{"enum", {"a", "b", 2}}}, 2, "c"},
      {{{"const", "a"}}, "a", nullptr},
      {{{"minimum", 2}}, 2.0, 1.9},
      {{{"exclusiveMinimum", 2}}, 2.1, 2},
      {{{"minLength", 2}}, "\u00e4\u00e4", "\u00e4"},
      {{{"pattern", "^a|b$"}}, "cb", "bc"},
      {{{"minItems", 2}}, {1, 2}, json::array({1})},
      {{{"maxItems", 1}}, json::array({1}), {1, 2}},
      {{{"items", {{"type", "string"}}}}, {"a", "b"}, {"a", 1}},
      {{{"required", {"a"}}}, {{"a", 1}}, {{"b", 1}}},
      {{{"properties", {{"a", {{"type", "null"}}}}}}, {{"b", 1}}, {{"a", 1}}},
      {{{"properties", {{"b", json::object()}}}, {"additionalProperties", false}},
       {{"b", 1}},
       {{"b", 1}, {"c", 1}}},
      {{{"additionalProperties", {{"type", "string"}}}}, {{"b", "x"}}, {{"b", 1}}},
      {{{"dependencies", {{"a", {"b"}}}}}, {{"b", 1}}, {{"a", 1}}},
      {{{"dependencies", {{"a", {{"maxItems", 1}, {"required", {"b"}}}}}}}, {{"c", 1}}, {{"a", 1}}},
      {{{"allOf", {{{"minimum", 1}}, {{"minimum", 3}}}}}, 3, 2},
      {{{"if", {{"const", 1}}}, {"then", {{"type", "string"}}}}, 2, 1},
      {{{"if", {{"const", 1}}}, {"else", {{"type", "string"}}}}, 1, 2},
      {{{"$ref", "#/definitions/a/definitions/b"}, {"definitions", {{"b", {{"type", "null"}}}}}}, nullptr, 2},
  };
  for (const Case& each : cases) {
    const SchemaAcceptor acceptor(schema(each.schema), "a");
    EXPECT_TRUE(acceptor.accepts(each.good)) << each.schema;
    EXPECT_FALSE(acceptor.accepts(each.bad)) << each.schema;
  }
  EXPECT_THROW(SchemaAcceptor(schema({{"maxProperties", 1}}), "a"), std::invalid_argument);
}

// The validator decides.
TEST(SchemaAcceptorTest, WhereImplementationsDifferNothingIsAccepted) {
  EXPECT_FALSE(SchemaAcceptor(schema({{"type", "integer"}}), "a").accepts(1.0));
  EXPECT_FALSE(SchemaAcceptor(schema({{"const", 1}}), "a").accepts(1.0));
  EXPECT_FALSE(SchemaAcceptor(schema({{"minimum", 1}}), "a").accepts(UINT64_MAX));
  EXPECT_FALSE(SchemaAcceptor(schema({{"minLength", 1}}), "a").accepts(std::string(3, '\0')));
  EXPECT_FALSE(
      SchemaAcceptor(schema({{"if", {{"const", 1}}}, {"then", {{"type", "string"}}}}), "a").accepts(1.0));
}

}  // namespace
}  // namespace lcnn::reports
