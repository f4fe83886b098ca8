#include "reports/schema.h"

#include "reports/schema_text.h"

#if LCNN_HAS_VALIJSON
#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <thread>
#include <utility>

#include "reports/escape.h"
#include "reports/report_items.h"
#include "reports/schema_acceptor.h"
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

namespace {

using nlohmann::json;

constexpr std::size_t kMostViolations = 20;

// The schema, or one of its definitions.
class PartSchema {
 public:
  explicit PartSchema(const char* definition = nullptr) {
    json document = json::parse(kSchemaText);
    if (definition != nullptr)
      document = {{"$ref", std::string("#/definitions/") + definition},
                  {"definitions", document["definitions"]}};
    valijson::SchemaParser(valijson::SchemaParser::kDraft7)
        .populateSchema(valijson::adapters::NlohmannJsonAdapter(document), schema_);
  }

  // Adds what is wrong with `value`, which lies at `place` of its report.
  void check(valijson::Validator& validator, const json& value, const std::string& place,
             std::vector<std::string>& violations) const {
    const valijson::adapters::NlohmannJsonAdapter target(value);
    if (validator.validate(schema_, target, nullptr))
      return;  // collecting costs time, which few values are worth
    valijson::ValidationResults results;
    validator.validate(schema_, target, &results);
    for (valijson::ValidationResults::Error error;
         violations.size() < kMostViolations && results.popError(error);) {
      std::string line = place;
      for (std::size_t i = 1; i < error.context.size(); ++i) line += error.context[i];
      violations.push_back(visible(line + ": " + error.description));
    }
  }

 private:
  valijson::Schema schema_;
};

struct Schemas {
  PartSchema report, row{"row"}, benchmark{"benchmark"};
  SchemaAcceptor row_acceptor{json::parse(kSchemaText), "row"}, benchmark_acceptor{json::parse(kSchemaText), "benchmark"};
};

const Schemas& schemas() {
  static const Schemas parsed;
  return parsed;
}

// What is wrong with the items from `begin` up to `end`; nothing where one is no JSON.
std::optional<std::vector<std::string>> check_items(const SchemaAcceptor& acceptor, const PartSchema& schema,
                                                    const SpanReader& reader, const ReportList& list, const char* name,
                                                    std::size_t begin, std::size_t end) {
  valijson::Validator validator;
  std::vector<std::string> violations;
  try {
    SpanSequence texts(reader);
    for (std::size_t i = begin; i < end; ++i) {
      const std::string place = fmt::format("<root>[{}][{}]", name, i);
      const json item = list.items[i] ? json::parse(texts.text(*list.items[i])) : json();
      if (violations.size() >= kMostViolations) continue;
      if (!list.items[i]) {
        violations.push_back(place + ": is no object");
      } else if (!acceptor.accepts(item)) {
        schema.check(validator, item, place, violations);
      }
    }
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return violations;
}

}  // namespace

std::optional<std::vector<std::string>> schema_violations(const json& report) {
  valijson::Validator validator;
  std::vector<std::string> violations;
  schemas().report.check(validator, report, "<root>", violations);
  return violations;
}

std::optional<std::vector<std::string>> schema_violations_of_file(const std::string& path) {
  const ReportItems items = find_items(path);
  json top = items.others;
  for (const auto& [name, list] :
       {std::pair("benchmarks", &items.benchmarks), std::pair("rows", &items.rows)}) {
    if (list->present) top[name] = list->is_list ? json::array() : json();
  }
  std::vector<std::string> violations = *schema_violations(top);

  const SpanReader reader(path);
  const std::size_t threads = std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::future<std::optional<std::vector<std::string>>>> parts;
  const auto share_out = [&](const SchemaAcceptor& acceptor, const PartSchema& schema, const ReportList& list,
                             const char* name) {
    const std::size_t count = list.items.size();
    for (std::size_t i = 0; i < threads; ++i) {
      parts.push_back(std::async(std::launch::async, check_items, std::cref(acceptor), std::cref(schema),
                                 std::cref(reader), std::cref(list), name, count * i / threads,
                                 count * (i + 1) / threads));
    }
  };
  share_out(schemas().benchmark_acceptor, schemas().benchmark, items.benchmarks, "benchmarks");
  share_out(schemas().row_acceptor, schemas().row, items.rows, "rows");
  bool is_json = true;
  for (auto& part : parts) {
    auto found = part.get();
    is_json = is_json && found;
    if (found) std::ranges::move(*found, std::back_inserter(violations));
  }
  if (!is_json) refuse_no_json(path);
  if (violations.size() > kMostViolations) violations.resize(kMostViolations);
  return violations;
}

#else

std::optional<std::vector<std::string>> schema_violations(const nlohmann::json&) { return std::nullopt; }

std::optional<std::vector<std::string>> schema_violations_of_file(const std::string&) { return std::nullopt; }

#endif

}  // namespace lcnn::reports
