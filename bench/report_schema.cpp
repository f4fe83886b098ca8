#include "bench/report_schema.h"

#include <fstream>
#include <nlohmann/json.hpp>

#if LCNN_HAS_VALIJSON
#pragma GCC diagnostic ignored "-Wrestrict"  // a false alarm of g++ 12 in valijson's headers
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#endif

namespace lcnn::bench {

#if LCNN_HAS_VALIJSON

std::optional<std::vector<std::string>> schema_violations(const nlohmann::json& report) {
  std::ifstream file(LCNN_SCHEMA_PATH);
  const nlohmann::json document = nlohmann::json::parse(file);
  valijson::Schema schema;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(valijson::adapters::NlohmannJsonAdapter(document), schema);
  valijson::Validator validator;
  valijson::ValidationResults results;
  validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(report), &results);
  std::vector<std::string> violations;
  for (valijson::ValidationResults::Error error; results.popError(error);) {
    std::string line;
    for (const std::string& step : error.context) line += step;
    violations.push_back(line + ": " + error.description);
  }
  return violations;
}

#else

std::optional<std::vector<std::string>> schema_violations(const nlohmann::json&) { return std::nullopt; }

#endif

}  // namespace lcnn::bench
