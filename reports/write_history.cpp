// A history as text, in three formats.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "reports/escape.h"
#include "reports/history.h"
#include "reports/write_comparison.h"

namespace lcnn::reports {
namespace {

using ordered_json = nlohmann::ordered_json;

std::string_view verdict(const Change& change) {
  if (change.regression()) return "slower";
  if (change.slower) return "was slower";
  return change.faster ? "faster" : "machine";
}

std::string describe(const Change& change) {
  std::string text =
      fmt::format("{} to {} ({:+.1f}%)", value_text(Metric::time, change.before),
                  value_text(Metric::time, change.after), 100 * (change.after / change.before - 1));
  if (change.machine) text += fmt::format(", Conv2d beside it {:+.1f}%", 100 * (*change.machine - 1));
  return text;
}

std::string summary(const History& history) {
  const std::size_t regressions = std::ranges::count_if(history.changes, &Change::regression);
  std::string text = fmt::format("{} reports, {} rows: {} changes, {} of them slow-downs that last",
                                 history.reports.size(), history.rows, history.changes.size(), regressions);
  if (!history.too_short.empty())
    text += fmt::format("; {} rows in too few reports", history.too_short.size());
  return text;
}

std::string span_text(const History& history) {
  const History::Run &first = history.reports.front(), &last = history.reports.back();
  return fmt::format("{} ({}) to {} ({})", first.commit, first.date, last.commit, last.date);
}

}  // namespace

std::string console(const History& history) {
  std::string out = fmt::format("{} on {}\n", visible(span_text(history)), visible(history.device));
  for (const std::string& difference : history.differences) out += fmt::format("DIFFERENT {}\n", difference);
  for (const Change& change : history.changes) {
    out += fmt::format("{:<10} {}\n           after {}, by {}: {}\n",
                       change.regression() ? "SLOWER" : verdict(change), visible(change.name),
                       visible(change.last_before), visible(change.first_after), describe(change));
  }
  return out + summary(history) + "\n";
}

std::string markdown(const History& history) {
  std::string out =
      fmt::format("### lcnn_report history: {}\n\n{}.\n\n{} on {}\n",
                  history.regressed() ? "slow-downs that last" : "no slow-down that lasts", summary(history),
                  markdown_text(span_text(history)), markdown_text(history.device));
  for (const std::string& difference : history.differences)
    out += fmt::format("\n**Different** {}\n", markdown_text(difference));
  if (!history.changes.empty()) out += "\n| | row | after | by | time |\n|---|---|---|---|---|\n";
  for (const Change& change : history.changes) {
    const std::string text(verdict(change));
    out += fmt::format("| {} | {} | {} | {} | {} |\n", change.regression() ? "**" + text + "**" : text,
                       markdown_code(change.name), markdown_code(change.last_before),
                       markdown_code(change.first_after), describe(change));
  }
  return out;
}

std::string json(const History& history) {
  ordered_json reports = ordered_json::array(), changes = ordered_json::array();
  for (const History::Run& run : history.reports)
    reports.push_back({{"path", run.path}, {"commit", run.commit}, {"date", run.date}});
  for (const Change& change : history.changes) {
    changes.push_back({{"name", change.name},
                       {"verdict", verdict(change)},
                       {"last_before", change.last_before},
                       {"first_after", change.first_after},
                       {"before_us", change.before},
                       {"after_us", change.after},
                       {"machine", change.machine ? ordered_json(*change.machine) : ordered_json(nullptr)},
                       {"latest", change.latest}});
  }
  const ordered_json document{{"version", 1},
                              {"regressed", history.regressed()},
                              {"device", history.device},
                              {"reports", reports},
                              {"different", history.differences},
                              {"rows", history.rows},
                              {"too_short", history.too_short},
                              {"changes", changes}};
  return document.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace lcnn::reports
