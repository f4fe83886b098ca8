#include "reports/compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_map>

#include "reports/context_differences.h"
#include "reports/escape.h"
#include "reports/machine_change.h"
#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

// With more rows, intervals are estimated only where the verdict needs them: 100,000 bootstraps take a
// minute.
constexpr std::size_t kMostRowsWithAllIntervals = 2000;

// The largest change for the worse comes first within a verdict.
double change_of(const ComparedRow& row) {
  const Finding* time = row.find(Metric::time);
  return time != nullptr && time->ratio ? *time->ratio : 0;
}

int place_of(const ComparedRow& row) {
  if (row.disposition == Verdict::worse) return 0;
  switch (row.overall()) {
    case Verdict::worse:
      return 1;
    case Verdict::unknown:
      return 2;
    case Verdict::better:
      return 3;
    default:
      return 4;
  }
}

void check_conditions(const Report& base, const Report& now, const std::set<std::string>& allowed,
                      Comparison& comparison) {
  if (base.google_benchmark != now.google_benchmark) {
    throw UnusableInput(
        fmt::format("{} and {} cannot be compared: one is lcnn_bench's, the other Google Benchmark's",
                    base.path, now.path));
  }
  if ((base.processes > 1) != (now.processes > 1)) {
    throw UnusableInput(fmt::format("{} and {} cannot be compared: one is a single process, the other {}", base.path,
                                    now.path, std::max(base.processes, now.processes)));
  }
  std::vector<std::string> refused;
  std::set<std::string> kinds;
  for (const ContextDifference& difference : context_differences(base, now)) {
    comparison.differences.push_back(difference.text);
    if (allowed.contains(difference.kind)) continue;
    refused.push_back(difference.text);
    kinds.insert(difference.kind);
  }
  if (!refused.empty()) {
    throw UnusableInput(
        fmt::format("{} and {} were measured under different conditions (--allow-different={}): {}",
                    base.path, now.path, fmt::join(kinds, ","), fmt::join(refused, "; ")));
  }
}

bool says_something(const ComparedRow& row) {
  return row.findings.empty() || std::ranges::any_of(row.findings, [](const Finding& finding) {
           return finding.verdict != Verdict::unknown && finding.verdict != Verdict::informational;
         });
}

}  // namespace

std::size_t Comparison::count(Verdict overall) const {
  return std::ranges::count_if(rows, [&](const ComparedRow& row) { return row.overall() == overall; });
}

Comparison compare(const Report& base, const Report& now, const Thresholds& thresholds,
                   const std::set<std::string>& allowed) {
  Comparison comparison{.base_path = base.path,
                        .now_path = now.path,
                        .base_commit = base.commit(),
                        .now_commit = now.commit(),
                        .device = now.device()};
  check_conditions(base, now, allowed, comparison);
  for (const Report* report : {&base, &now}) {
    if (report->profiled == 0) continue;
    comparison.differences.push_back(fmt::format("{}: {} rows were measured under the profiler and are left out",
                                                 visible(report->path), report->profiled));
  }

  std::unordered_map<std::string_view, const Row*> of_base;
  for (const Row& row : base.rows) of_base.emplace(row.name, &row);
  const Intervals intervals =
      now.rows.size() <= kMostRowsWithAllIntervals ? Intervals::all : Intervals::where_the_verdict_needs_them;
  const MachineChange machine(base, now);
  for (const Row& row : now.rows) {
    const auto found = of_base.find(row.name);
    if (found == of_base.end()) {
      comparison.added.push_back(row.name);
      continue;
    }
    comparison.rows.push_back(
        compare_rows(*found->second, row, thresholds.of(row.name), intervals,
                     {.slower = machine.beside(row).value_or(1), .scatter = machine.scatter()}));
    of_base.erase(found);
  }
  for (const Row& row : base.rows) {
    if (of_base.contains(row.name)) comparison.removed.push_back(row.name);
  }
  if (comparison.rows.empty())
    throw UnusableInput(fmt::format("{} and {} have no row in common{}", base.path, now.path,
                                    base.profiled + now.profiled > 0 ? " that was measured without the profiler" : ""));
  if (std::ranges::none_of(comparison.rows, says_something)) {
    const Finding& first = comparison.rows.front().findings.front();
    throw UnusableInput(fmt::format("{} and {}: nothing can be said of any row; of {}: {}", base.path,
                                    now.path, visible(comparison.rows.front().name), first.note));
  }
  std::ranges::stable_sort(comparison.rows, [](const ComparedRow& a, const ComparedRow& b) {
    const int place_a = place_of(a), place_b = place_of(b);
    return place_a != place_b ? place_a < place_b : change_of(a) > change_of(b);
  });
  return comparison;
}

}  // namespace lcnn::reports
