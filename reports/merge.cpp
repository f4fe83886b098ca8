#include "reports/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
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

// The text of the name of a benchmark entry, empty where it has none. Throws nlohmann's exception where it is no JSON.
std::string name_of_benchmark(std::string_view text) {
  std::string name;
  const auto keep_name = [&, is_name = false](int depth, json::parse_event_t event, const json& value) mutable {
    if (depth == 1 && event == json::parse_event_t::key) is_name = value == std::string("name");
    if (depth == 1 && event == json::parse_event_t::value && is_name && value.is_string()) name = value;
    return event == json::parse_event_t::object_start && depth == 0;  // else its fields are passed over
  };
  [[maybe_unused]] const json nothing = json::parse(text, keep_name);
  return name;
}

struct NamedItems {
  ReportItems items;
  std::vector<std::string> benchmarks;  // their names, empty where one is no object or has none
};

NamedItems read_items(const std::string& path) {
  NamedItems named{.items = find_items(path), .benchmarks = {}};
  const ReportList& list = named.items.benchmarks;
  named.benchmarks.resize(list.items.size());
  try {
    const SpanReader reader(path);
    SpanSequence texts(reader);
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (list.items[i]) named.benchmarks[i] = name_of_benchmark(texts.text(*list.items[i]));
    }
  } catch (const json::exception&) {
    refuse_no_json(path);
  }
  return named;
}

// As one line: in JSON text, line breaks are white space.
std::string one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return text;
}

// A benchmark entry with another number in its field family_index, else as it is.
std::string with_family_index(std::string text, std::size_t index) {
  static constexpr std::string_view kField = "\"family_index\":";
  const std::size_t field = text.find(kField);
  const std::size_t begin = field + kField.size(), end = text.find_first_not_of("0123456789", begin);
  // Written otherwise than lcnn_bench does, perhaps in something nested, or there twice.
  if (field == std::string::npos || end == begin || text.find_first_of("{[\\", 1) < field ||
      text.find("family_index", begin) != std::string::npos) {
    json benchmark = json::parse(text);
    benchmark["family_index"] = index;
    return benchmark.dump();
  }
  return one_line(text.replace(begin, end - begin, fmt::format("{}", index)));
}

}  // namespace

Merged merge(const std::vector<std::string>& paths) {
  Merged merged{.paths = paths};
  std::unordered_map<std::string, std::size_t> places;
  std::optional<Report> first;
  for (std::size_t file = 0; file < paths.size(); ++file) {
    auto reading_items = std::async(std::launch::async, read_items, paths[file]);
    Report report = read_report(paths[file]);  // says what is wrong with it
    if (report.google_benchmark)
      throw UnusableInput(fmt::format("{}: is no report of lcnn_bench", paths[file]));
    if (report.profiled > 0)
      throw UnusableInput(fmt::format("{}: {} rows were measured under the profiler, they stand beside no others",
                                      paths[file], report.profiled));
    if (first) check_context(*first, report);

    const auto [items, benchmark_names] = reading_items.get();
    if (!items.benchmarks.is_list) throw UnusableInput(fmt::format("{}: has no benchmarks", paths[file]));
    if (items.rows.items.size() != report.rows.size() ||
        !std::ranges::all_of(items.rows.items, [](const auto& row) { return row.has_value(); }))
      throw UnusableInput(fmt::format("{}: a row is no object", paths[file]));
    for (std::size_t i = 0; i < report.rows.size(); ++i) {
      const std::string& name = report.rows[i].name;
      const auto [place, is_new] = places.try_emplace(name, merged.entries.size());
      if (is_new) {
        merged.entries.emplace_back();
      } else {
        merged.notes.push_back(fmt::format("{}: the row of {} takes the place of {}'s", visible(name), paths[file],
                                           paths[merged.entries[place->second].file]));
      }
      merged.entries[place->second] = {.file = file, .row = *items.rows.items[i], .benchmarks = {}};
    }
    for (std::size_t i = 0; i < benchmark_names.size(); ++i) {
      const auto place = places.find(benchmark_names[i]);
      if (!items.benchmarks.items[i] || place == places.end() || merged.entries[place->second].file != file)
        throw UnusableInput(fmt::format("{}: a benchmark belongs to no row", paths[file]));
      merged.entries[place->second].benchmarks.push_back(*items.benchmarks.items[i]);
    }
    merged.context = items.others.at("context");
    if (!first) {
      report.rows.clear();
      first = std::move(report);
    }
  }
  return merged;
}

void write_report(const Merged& merged, std::ostream& out) {
  std::vector<std::unique_ptr<SpanReader>> readers;
  std::vector<SpanSequence> texts;
  for (const std::string& path : merged.paths)
    texts.emplace_back(*readers.emplace_back(std::make_unique<SpanReader>(path)));
  out << "{\n\"context\": " << merged.context.dump(2) << ",\n\"benchmarks\": [\n";
  const char* separator = "";
  for (std::size_t i = 0; i < merged.entries.size(); ++i) {
    const Merged::Entry& entry = merged.entries[i];
    for (const Span& span : entry.benchmarks)
      out << std::exchange(separator, ",\n") << with_family_index(std::string(texts[entry.file].text(span)), i);
  }
  out << "\n],\n\"rows\": [\n";
  separator = "";
  for (const Merged::Entry& entry : merged.entries)
    out << std::exchange(separator, ",\n") << one_line(std::string(texts[entry.file].text(entry.row)));
  out << "\n]\n}\n";
}

}  // namespace lcnn::reports
