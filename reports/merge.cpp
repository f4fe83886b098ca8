#include "reports/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
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

// As one line: in JSON text, line breaks are white space.
std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

}  // namespace

Merged merge(const std::vector<std::string>& paths) {
  Merged merged{.paths = paths};
  std::unordered_map<std::string, std::size_t> places;
  std::optional<Report> first;
  for (std::size_t file = 0; file < paths.size(); ++file) {
    Report report = read_report(paths[file]);  // says what is wrong with it
    if (report.google_benchmark)
      throw UnusableInput(fmt::format("{}: is no report of lcnn_bench", paths[file]));
    if (report.profiled > 0)
      throw UnusableInput(fmt::format("{}: {} rows were measured under the profiler, they stand beside no others",
                                      paths[file], report.profiled));
    report.rows.clear();
    if (first) check_context(*first, report);
    if (!first) first = std::move(report);

    ReportItems items = find_items(paths[file]);
    if (!items.benchmarks.is_list) throw UnusableInput(fmt::format("{}: has no benchmarks", paths[file]));
    for (const ReportItem& row : items.rows.items) {
      if (!row.object) throw UnusableInput(fmt::format("{}: a row is no object", paths[file]));
      const auto [place, is_new] = places.try_emplace(row.name, merged.entries.size());
      if (is_new) {
        merged.entries.emplace_back();
      } else {
        merged.notes.push_back(fmt::format("{}: the row of {} takes the place of {}'s", visible(row.name),
                                           paths[file], paths[merged.entries[place->second].file]));
      }
      merged.entries[place->second] = {.file = file, .row = *row.object, .benchmarks = {}};
    }
    for (const ReportItem& benchmark : items.benchmarks.items) {
      const auto place = places.find(benchmark.name);
      if (!benchmark.object || place == places.end() || merged.entries[place->second].file != file)
        throw UnusableInput(fmt::format("{}: a benchmark belongs to no row", paths[file]));
      merged.entries[place->second].benchmarks.push_back(*benchmark.object);
    }
    merged.context = std::move(items.others["context"]);
  }
  return merged;
}

void write_report(const Merged& merged, std::ostream& out) {
  std::vector<std::unique_ptr<SpanReader>> readers;
  for (const std::string& path : merged.paths) readers.push_back(std::make_unique<SpanReader>(path));
  out << "{\n\"context\": " << merged.context.dump(2) << ",\n\"benchmarks\": [\n";
  const char* separator = "";
  for (std::size_t i = 0; i < merged.entries.size(); ++i) {
    for (const Span& span : merged.entries[i].benchmarks) {
      json benchmark = json::parse(readers[merged.entries[i].file]->text(span));
      benchmark["family_index"] = i;
      out << std::exchange(separator, ",\n") << benchmark.dump();
    }
  }
  out << "\n],\n\"rows\": [\n";
  separator = "";
  for (const Merged::Entry& entry : merged.entries)
    out << std::exchange(separator, ",\n") << one_line(readers[entry.file]->text(entry.row));
  out << "\n]\n}\n";
}

}  // namespace lcnn::reports
