// What the output formats share: numbers, changes and rows in words.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>

#include "reports/escape.h"
#include "reports/write_comparison.h"

namespace lcnn::reports {
namespace {

std::string percent(double ratio) {
  if (ratio >= 10) return fmt::format("{:.3g}x", ratio);
  return fmt::format("{:+.1f}%", 100 * (ratio - 1));
}

std::string three_digits(double value) {
  const double size = std::abs(value);
  if (size >= 100 || size == 0) return fmt::format("{:.0f}", value);
  return size >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

std::string with_unit(double value, std::array<const char*, 3> units) {
  std::size_t unit = 0;
  while (std::abs(value) >= 1000 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{} {}", three_digits(value), units[unit]);
}

std::string describe(const Finding& finding) {
  std::string text(to_string(finding.metric, finding.verdict));
  if (finding.metric != Metric::time) text = fmt::format("{} {}", to_string(finding.metric), text);
  if (finding.base && finding.now) {
    text += fmt::format(": {} to {}", value_text(finding.metric, *finding.base),
                        value_text(finding.metric, *finding.now));
    const std::string change = change_text(finding), interval = interval_text(finding);
    if (!change.empty())
      text += fmt::format(" ({}{}{})", change, interval.empty() ? "" : ", 99% interval ", interval);
  }
  if (!finding.note.empty()) text += fmt::format(", {}", finding.note);
  return text;
}

}  // namespace

std::string summary(const Comparison& comparison) {
  return fmt::format("{} of {} rows are worse, {} better, {} unknown, {} the same; {} added, {} removed",
                     comparison.count(Verdict::worse), comparison.rows.size(),
                     comparison.count(Verdict::better), comparison.count(Verdict::unknown),
                     comparison.count(Verdict::same), comparison.added.size(), comparison.removed.size());
}

std::string value_text(Metric metric, double value) {
  switch (metric) {
    case Metric::time:
      return with_unit(value, {"us", "ms", "s"});
    case Metric::memory:
      return with_unit(value / 1000, {"kB", "MB", "GB"});
    case Metric::prepare:
      return with_unit(value, {"ms", "s", "ks"});
    case Metric::rel_err:
      return fmt::format("{:.2e}", value);
    case Metric::speedup:
      return fmt::format("{:.2f}x", value);
  }
  return "?";
}

std::string change_text(const Finding& finding) { return finding.ratio ? percent(*finding.ratio) : ""; }

std::string interval_text(const Finding& finding) {
  if (!finding.interval) return "";
  return fmt::format("{} to {}", percent(finding.interval->low), percent(finding.interval->high));
}

std::string describe(const ComparedRow& row) {
  std::vector<std::string> parts;
  if (row.base_disposition != row.now_disposition) {
    parts.push_back(fmt::format("was {}, is {}{}{}", visible(row.base_disposition),
                                visible(row.now_disposition), row.note.empty() ? "" : ": ",
                                visible(row.note)));
  }
  for (const Finding& finding : row.findings) {
    if (finding.verdict == Verdict::informational) continue;
    if (finding.verdict != Verdict::same || !finding.note.empty()) parts.push_back(describe(finding));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace lcnn::reports
