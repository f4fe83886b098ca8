#include "reports/schema.h"

#include "reports/escape.h"
#include "reports/schema_text.h"

#if LCNN_HAS_VALIJSON
#pragma GCC diagnostic ignored "-Wrestrict"  // a false alarm of g++ 12 in valijson's headers
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#endif

namespace lcnn::reports {

const char* schema_text() { return kSchemaText; }

#if LCNN_HAS_VALIJSON

std::optional<std::vector<std::string>> schema_violations(const nlohmann::json& report) {
  constexpr std::size_t kMost = 20;
  const nlohmann::json document = nlohmann::json::parse(kSchemaText);
  valijson::Schema schema;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(valijson::adapters::NlohmannJsonAdapter(document), schema);
  valijson::Validator validator;
  valijson::ValidationResults results;
  validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(report), &results);
  std::vector<std::string> violations;
  for (valijson::ValidationResults::Error error; violations.size() < kMost && results.popError(error);) {
    std::string line;
    for (const std::string& step : error.context) line += step;
    violations.push_back(visible(line + ": " + error.description));
  }
  return violations;
}

#else

std::optional<std::vector<std::string>> schema_violations(const nlohmann::json&) { return std::nullopt; }

#endif

}  // namespace lcnn::reports
