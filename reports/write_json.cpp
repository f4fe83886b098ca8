#include <future>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "reports/write_comparison.h"

namespace lcnn::reports {
namespace {

using ordered_json = nlohmann::ordered_json;

ordered_json number(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json text(const std::string& value) {
  return value.empty() ? ordered_json(nullptr) : ordered_json(value);
}

ordered_json finding_json(const Finding& finding) {
  ordered_json interval;
  if (finding.interval) interval = {finding.interval->low, finding.interval->high};
  return {{"verdict", to_string(finding.metric, finding.verdict)},
          {"base", number(finding.base)},
          {"new", number(finding.now)},
          {"ratio", number(finding.ratio)},
          {"interval", interval},
          {"note", text(finding.note)}};
}

ordered_json row_json(const ComparedRow& row) {
  ordered_json metrics = ordered_json::object();
  for (const Finding& finding : row.findings)
    metrics[std::string(to_string(finding.metric))] = finding_json(finding);
  return {{"name", row.name},
          {"verdict", to_string(Metric::memory, row.overall())},
          {"disposition", {{"base", row.base_disposition}, {"new", row.now_disposition}}},
          {"reason", text(row.note)},
          {"metrics", metrics}};
}

constexpr auto kReplace = ordered_json::error_handler_t::replace;  // a path may be no UTF-8

// Rows one by one, a line each: 100,000 of them as one value would take a gigabyte.
std::string lines(std::span<const ComparedRow> rows) {
  std::string out;
  for (const ComparedRow& row : rows) {
    out += out.empty() ? "\n  " : ",\n  ";
    out += row_json(row).dump(-1, ' ', false, kReplace);
  }
  return out;
}

}  // namespace

std::string json(const Comparison& comparison) {
  const auto side = [](const std::string& path, const std::string& commit) -> ordered_json {
    return {{"path", path}, {"commit", text(commit)}};
  };
  const ordered_json head{{"version", 1},
                          {"regressed", comparison.regressed()},
                          {"base", side(comparison.base_path, comparison.base_commit)},
                          {"new", side(comparison.now_path, comparison.now_commit)},
                          {"device", comparison.device},
                          {"counts",
                           {{"worse", comparison.count(Verdict::worse)},
                            {"better", comparison.count(Verdict::better)},
                            {"unknown", comparison.count(Verdict::unknown)},
                            {"same", comparison.count(Verdict::same)}}},
                          {"different", comparison.differences},
                          {"added", comparison.added},
                          {"removed", comparison.removed}};
  std::string out = head.dump(1, ' ', false, kReplace);
  out.resize(out.size() - 2);  // "\n}"
  out += ",\n \"rows\": [";
  const std::size_t half = comparison.rows.size() / 2;
  const std::span rows(comparison.rows);
  auto rest = std::async(std::launch::async, lines, rows.subspan(half));
  const std::string first = lines(rows.first(half));
  out += first;
  if (!first.empty()) out += ',';
  out += rest.get();
  out += "\n ]\n}\n";
  return out;
}

}  // namespace lcnn::reports
