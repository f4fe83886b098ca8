#include "reports/merge.h"

#include <fmt/format.h>

#include <optional>
#include <ostream>
#include <unordered_map>
#include <utility>

#include "reports/escape.h"
#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

using json = nlohmann::ordered_json;

// What has to be the same for rows to stand in one report.
constexpr const char* kOneRun[] = {"device/kind",    "device/name", "device/threads",
                                   "device/driver",  "timing/mode", "timing/seed",
                                   "timing/threads", "git/commit",  "git/dirty"};

void check_context(const Report& first, const Report& other) {
  for (const char* field : kOneRun) {
    if (first.field(field) == other.field(field)) continue;
    throw UnusableInput(fmt::format("{} and {} cannot be merged: {} is {} and {}", first.path, other.path,
                                    field, visible(first.field(field)), visible(other.field(field))));
  }
}

struct Entry {
  json row;
  std::vector<json> benchmarks;
  std::size_t file = 0;
};

}  // namespace

Merged merge(const std::vector<std::string>& paths) {
  Merged merged;
  std::vector<Entry> entries;
  std::unordered_map<std::string, std::size_t> places;
  std::optional<Report> first;
  for (std::size_t file = 0; file < paths.size(); ++file) {
    const Report report = read_report(paths[file]);  // says what is wrong with it
    if (report.google_benchmark)
      throw UnusableInput(fmt::format("{}: is no report of lcnn_bench", paths[file]));
    if (first) check_context(*first, report);
    if (!first) first = report;

    json document = read_json(paths[file]);
    for (json& row : document["rows"]) {
      const std::string name = row["name"];
      const auto [place, is_new] = places.try_emplace(name, entries.size());
      if (is_new) {
        entries.emplace_back();
      } else {
        merged.notes.push_back(fmt::format("{}: the row of {} takes the place of {}'s", visible(name),
                                           paths[file], paths[entries[place->second].file]));
      }
      entries[place->second] = {.row = std::move(row), .benchmarks = {}, .file = file};
    }
    if (!document["benchmarks"].is_array())
      throw UnusableInput(fmt::format("{}: has no benchmarks", paths[file]));
    for (json& benchmark : document["benchmarks"]) {
      const auto place = benchmark.is_object() && benchmark.contains("name") && benchmark["name"].is_string()
                             ? places.find(benchmark["name"].get<std::string>())
                             : places.end();
      if (place == places.end())
        throw UnusableInput(fmt::format("{}: a benchmark belongs to no row", paths[file]));
      benchmark["family_index"] = place->second;
      entries[place->second].benchmarks.push_back(std::move(benchmark));
    }
    merged.report["context"] = std::move(document["context"]);
  }
  json benchmarks = json::array(), rows = json::array();
  for (Entry& entry : entries) {
    rows.push_back(std::move(entry.row));
    for (json& benchmark : entry.benchmarks) benchmarks.push_back(std::move(benchmark));
  }
  merged.report["benchmarks"] = std::move(benchmarks);
  merged.report["rows"] = std::move(rows);
  return merged;
}

void write_report(const json& report, std::ostream& out) {
  out << "{\n\"context\": " << report["context"].dump(2);
  for (const char* list : {"benchmarks", "rows"}) {
    out << ",\n\"" << list << "\": [\n";
    const json& items = report[list];
    for (std::size_t i = 0; i < items.size(); ++i)
      out << items[i].dump() << (i + 1 < items.size() ? ",\n" : "\n");
    out << ']';
  }
  out << "\n}\n";
}

}  // namespace lcnn::reports
