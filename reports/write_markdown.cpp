#include <fmt/format.h>

#include <algorithm>

#include "reports/escape.h"
#include "reports/write_comparison.h"

namespace lcnn::reports {
namespace {

// GitHub takes comments of 65,536 characters: what changed may take half, and the table of all rows the rest.
constexpr std::size_t kMostForChanges = 30'000, kMostForTable = 28'000;

// Lines until `most` characters, then one that says how many are left out.
template <typename Items, typename Line>
std::string lines(const Items& items, std::size_t most, const Line& line, std::string_view last) {
  std::string out;
  std::size_t written = 0;
  for (const auto& item : items) {
    const std::string next = line(item);
    if (out.size() + next.size() > most) break;
    out += next;
    ++written;
  }
  if (written < items.size()) out += fmt::format(fmt::runtime(last), items.size() - written);
  return out;
}

std::string value_cell(const Finding* finding, std::optional<double> Finding::*value) {
  return finding != nullptr && finding->*value ? value_text(finding->metric, *(finding->*value)) : "";
}

std::string time_cells(const ComparedRow& row) {
  const Finding* time = row.find(Metric::time);
  if (time == nullptr) return " | | | ";
  return fmt::format("{} | {} | {} | {}", value_cell(time, &Finding::base), value_cell(time, &Finding::now),
                     change_text(*time), interval_text(*time));
}

std::string changed_row(const ComparedRow& row) {
  return fmt::format(
      "| {} | {} | {} |\n",
      row.overall() == Verdict::worse ? "**worse**" : std::string(to_string(Metric::memory, row.overall())),
      markdown_code(row.name), markdown_text(describe(row)));
}

std::string full_row(const ComparedRow& row) {
  const Finding* memory = row.find(Metric::memory);
  const Finding* error = row.find(Metric::rel_err);
  return fmt::format("| {} | {} | {} | {} | {} |\n", markdown_code(row.name),
                     to_string(Metric::memory, row.overall()), time_cells(row),
                     value_cell(memory, &Finding::now), value_cell(error, &Finding::now));
}

std::string names(std::string_view title, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  return fmt::format(
      "\n{}: {}\n", title,
      lines(
          names, 1500, [](const std::string& name) { return markdown_code(name) + " "; }, "and {} more"));
}

}  // namespace

std::string markdown(const Comparison& comparison) {
  std::vector<ComparedRow> changed;
  std::ranges::copy_if(comparison.rows, std::back_inserter(changed),
                       [](const ComparedRow& row) { return row.overall() != Verdict::same; });
  std::string out = fmt::format(
      "### lcnn_report: {}\n\n{}.\n\n{} → {} on {}\n",
      comparison.regressed() ? "regression" : "no regression", summary(comparison),
      markdown_code(comparison.base_commit.empty() ? comparison.base_path : comparison.base_commit),
      markdown_code(comparison.now_commit.empty() ? comparison.now_path : comparison.now_commit),
      markdown_text(comparison.device));
  for (const std::string& difference : comparison.differences)
    out += fmt::format("\n**Different** {}\n", markdown_text(difference));
  if (!changed.empty()) {
    out += "\n| verdict | row | what changed |\n|---|---|---|\n" +
           lines(changed, kMostForChanges, changed_row, "\n{} more rows changed.\n");
  }
  out += names("Added", comparison.added) + names("Removed", comparison.removed);
  out +=
      "\n<details><summary>All rows</summary>\n\n"
      "| row | verdict | base | new | change | 99% interval | peak memory | rel_err "
      "|\n|---|---|---|---|---|---|---|---|\n" +
      lines(comparison.rows, kMostForTable, full_row, "\n{} more rows.\n") + "\n</details>\n";
  return out;
}

}  // namespace lcnn::reports
