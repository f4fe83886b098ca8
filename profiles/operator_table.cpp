#include "profiles/operator_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

namespace lcnn::profiles {
namespace {

constexpr std::size_t kLongestShownName = 60;  // kernels' names are longer than any terminal

double microseconds(std::int64_t ns) { return static_cast<double>(ns) / 1e3; }
double average_us(std::int64_t ns, std::int64_t calls) {
  return calls > 0 ? microseconds(ns) / static_cast<double>(calls) : 0;
}
double percent(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string time_text(double us) {
  if (us >= 1e6) return fmt::format("{:.3f}s", us / 1e6);
  if (us >= 1e3) return fmt::format("{:.3f}ms", us / 1e3);
  return fmt::format("{:.3f}us", us);
}

std::string shown_name(const std::string& name) {
  return name.size() <= kLongestShownName ? name : name.substr(0, kLongestShownName - 3) + "...";
}

using Rows = std::map<std::pair<std::string_view, Names::Id>, TableRow>;

TableRow& row_of(Rows& rows, std::string_view kind, Names::Id name, const Names& names) {
  TableRow& row = rows[{kind, name}];
  if (row.name.empty()) {
    row.name = names[name];
    row.kind = kind;
  }
  return row;
}

// What each column shows, by the name it is sorted by.
using Value = std::function<double(const TableRow&)>;
const std::vector<std::pair<std::string, Value>>& columns() {
  static const std::vector<std::pair<std::string, Value>> kColumns{
      {"self_cpu", [](const TableRow& row) { return microseconds(row.self_cpu_ns); }},
      {"cpu_total", [](const TableRow& row) { return microseconds(row.cpu_total_ns); }},
      {"cpu_time_avg", [](const TableRow& row) { return average_us(row.cpu_total_ns, row.calls); }},
      {"self_cuda", [](const TableRow& row) { return microseconds(row.self_cuda_ns); }},
      {"cuda_total", [](const TableRow& row) { return microseconds(row.cuda_total_ns); }},
      {"cuda_time_avg", [](const TableRow& row) { return average_us(row.cuda_total_ns, row.calls); }},
      {"calls", [](const TableRow& row) { return static_cast<double>(row.calls); }}};
  return kColumns;
}

}  // namespace

OperatorTable tabulate(const Profile& profile) {
  OperatorTable table;
  Rows rows;
  const Nesting nesting = nest(profile);
  const auto host_row = [&](const HostEvent& event) -> TableRow& {
    return row_of(rows, to_string(event.kind), event.name, profile.names);
  };
  const auto same_row = [&](std::size_t a, std::size_t b) {
    return profile.host[a].kind == profile.host[b].kind && profile.host[a].name == profile.host[b].name;
  };
  for (const std::size_t i : nesting.order) {
    const HostEvent& event = profile.host[i];
    const std::int64_t duration = nesting.end_ns[i] - event.begin_ns;
    TableRow& row = host_row(event);
    ++row.calls;
    row.self_cpu_ns += duration;
    const std::size_t parent = nesting.parent[i];
    if (parent == kNoParent) {
      table.cpu_total_ns += duration;
    } else {
      host_row(profile.host[parent]).self_cpu_ns -= duration;
    }
    bool inside_itself = false;
    for (std::size_t outer = parent; outer != kNoParent; outer = nesting.parent[outer]) {
      inside_itself = inside_itself || same_row(outer, i);
    }
    if (!inside_itself) row.cpu_total_ns += duration;
  }

  const std::vector<std::size_t> launched_by = launching_calls(profile, nesting);
  for (std::size_t i = 0; i < profile.device.size(); ++i) {
    const DeviceEvent& event = profile.device[i];
    const std::int64_t duration = event.end_ns - event.begin_ns;
    TableRow& row = row_of(rows, to_string(event.kind), event.name, profile.names);
    ++row.calls;
    row.self_cuda_ns += duration;
    row.cuda_total_ns += duration;
    table.cuda_total_ns += duration;
    std::set<TableRow*> credited;
    for (std::size_t outer = launched_by[i]; outer != kNoParent; outer = nesting.outside(outer)) {
      if (profile.host[outer].kind == HostKind::cuda_call) continue;
      TableRow& owner = host_row(profile.host[outer]);
      if (credited.empty()) owner.self_cuda_ns += duration;
      if (credited.insert(&owner).second) owner.cuda_total_ns += duration;
    }
  }
  for (auto& [key, row] : rows) table.rows.push_back(std::move(row));
  std::ranges::sort(table.rows, {}, [](const TableRow& row) { return std::pair(row.kind, row.name); });
  return table;
}

const std::vector<std::string>& sort_columns() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const auto& [name, value] : columns()) names.push_back(name);
    names.push_back("name");
    return names;
  }();
  return kNames;
}

void sort_by(OperatorTable& table, std::string_view column) {
  if (column == "name") {
    std::ranges::stable_sort(table.rows, {}, &TableRow::name);
    return;
  }
  const auto found = std::ranges::find(columns(), column, &std::pair<std::string, Value>::first);
  if (found == columns().end()) {
    throw std::invalid_argument(
        fmt::format("{}: no column of the table, {} are", column, fmt::join(sort_columns(), ", ")));
  }
  std::ranges::stable_sort(table.rows, std::greater<>{}, found->second);
}

std::string to_text(const OperatorTable& table, std::size_t most) {
  const std::size_t shown = std::min(most, table.rows.size());
  std::size_t width = 4;
  for (std::size_t i = 0; i < shown; ++i) width = std::max(width, shown_name(table.rows[i].name).size());
  constexpr const char* kLine =
      "{:<{}}  {:>10}  {:>10}  {:>11}  {:>10}  {:>12}  {:>10}  {:>11}  {:>10}  {:>13}  {:>10}\n";
  std::string text =
      fmt::format(kLine, "Name", width, "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg",
                  "Self CUDA", "Self CUDA %", "CUDA total", "CUDA time avg", "# of Calls");
  for (std::size_t i = 0; i < shown; ++i) {
    const TableRow& row = table.rows[i];
    text += fmt::format(kLine, shown_name(row.name), width,
                        fmt::format("{:.2f}%", percent(row.self_cpu_ns, table.cpu_total_ns)),
                        time_text(microseconds(row.self_cpu_ns)),
                        fmt::format("{:.2f}%", percent(row.cpu_total_ns, table.cpu_total_ns)),
                        time_text(microseconds(row.cpu_total_ns)),
                        time_text(average_us(row.cpu_total_ns, row.calls)),
                        time_text(microseconds(row.self_cuda_ns)),
                        fmt::format("{:.2f}%", percent(row.self_cuda_ns, table.cuda_total_ns)),
                        time_text(microseconds(row.cuda_total_ns)),
                        time_text(average_us(row.cuda_total_ns, row.calls)), row.calls);
  }
  if (shown < table.rows.size()) text += fmt::format("({} more)\n", table.rows.size() - shown);
  text +=
      fmt::format("Self CPU time total: {}\nSelf CUDA time total: {}\n",
                  time_text(microseconds(table.cpu_total_ns)), time_text(microseconds(table.cuda_total_ns)));
  return text;
}

nlohmann::ordered_json to_json(const OperatorTable& table) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const TableRow& row : table.rows) {
    rows.push_back({{"name", row.name},
                    {"kind", row.kind},
                    {"self_cpu_percent", percent(row.self_cpu_ns, table.cpu_total_ns)},
                    {"self_cpu_us", microseconds(row.self_cpu_ns)},
                    {"cpu_total_percent", percent(row.cpu_total_ns, table.cpu_total_ns)},
                    {"cpu_total_us", microseconds(row.cpu_total_ns)},
                    {"cpu_time_avg_us", average_us(row.cpu_total_ns, row.calls)},
                    {"self_cuda_us", microseconds(row.self_cuda_ns)},
                    {"self_cuda_percent", percent(row.self_cuda_ns, table.cuda_total_ns)},
                    {"cuda_total_us", microseconds(row.cuda_total_ns)},
                    {"cuda_time_avg_us", average_us(row.cuda_total_ns, row.calls)},
                    {"calls", row.calls}});
  }
  return {{"self_cpu_time_total_us", microseconds(table.cpu_total_ns)},
          {"self_cuda_time_total_us", microseconds(table.cuda_total_ns)},
          {"rows", std::move(rows)}};
}

}  // namespace lcnn::profiles
