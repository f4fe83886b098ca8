#include "reports/read_report.h"

#include <fmt/format.h>

#include <unordered_map>
#include <unordered_set>

#include "reports/escape.h"
#include "reports/json_file.h"
#include "reports/report_parser.h"

namespace lcnn::reports {
namespace {

double microseconds_in(const std::string& unit, const std::string& path) {
  if (unit == "ns") return 1e-3;
  if (unit == "us") return 1;
  if (unit == "ms") return 1e3;
  if (unit == "s") return 1e6;
  throw UnusableInput(fmt::format("{}: unknown time_unit '{}'", path, visible(unit)));
}

// Google Benchmark's entries of one name are one row; the aggregates among them say nothing that repetitions
// do not.
std::vector<Row> rows_of(const std::vector<BenchmarkEntry>& entries, const std::string& path) {
  std::vector<Row> rows;
  std::unordered_map<std::string, std::size_t> index;
  for (const BenchmarkEntry& entry : entries) {
    if (entry.name.empty()) throw UnusableInput(fmt::format("{}: a benchmark has no name", path));
    if (entry.run_type == "aggregate") continue;
    const auto [found, is_new] = index.try_emplace(entry.name, rows.size());
    if (is_new) rows.push_back({.name = entry.name, .disposition = "measured"});
    Row& row = rows[found->second];
    if (entry.failed || entry.skipped) {
      row.disposition = entry.failed ? "error" : "unsupported";
      row.reason = entry.error_message;
    } else {
      row.samples_us.push_back(entry.real_time * microseconds_in(entry.time_unit, path));
    }
  }
  return rows;
}

void require_unique_names(const Report& report) {
  std::unordered_set<std::string_view> names;
  for (const Row& row : report.rows) {
    if (!names.insert(row.name).second)
      throw UnusableInput(fmt::format("{}: two rows are named {}", report.path, visible(row.name)));
  }
}

}  // namespace

Report read_report(const std::string& path) {
  Report report{.path = path};
  JsonFile file(path);
  ReportParser parser(report, file);
  nlohmann::json::sax_parse(file.begin(), file.end(), &parser);
  if (!parser.has_rows() && !parser.has_benchmarks())
    throw UnusableInput(fmt::format("{}: is no report: it has neither rows nor benchmarks", path));
  if (parser.has_rows()) {
    const std::string_view version = report.field("lcnn_schema_version");
    if (version.empty())
      throw UnusableInput(fmt::format("{}: is no report: it has no lcnn_schema_version", path));
    if (version != fmt::format("{}", kSchemaVersion)) {
      throw UnusableInput(fmt::format("{}: has schema version {}, this program reads version {}", path,
                                      visible(version), kSchemaVersion));
    }
  } else {
    report.google_benchmark = true;
    report.rows = rows_of(parser.benchmarks(), path);
  }
  require_unique_names(report);
  return report;
}

nlohmann::ordered_json read_json(const std::string& path) {
  JsonFile file(path);
  try {
    return nlohmann::ordered_json::parse(file.begin(), file.end());
  } catch (const nlohmann::json::exception& error) {
    const std::string message = error.what();
    throw UnusableInput(fmt::format("{}: is no JSON: {}", path, message.substr(message.find("] ") + 2)));
  }
}

}  // namespace lcnn::reports
