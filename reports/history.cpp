#include "reports/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <system_error>

#include "reports/change_points.h"
#include "reports/context_differences.h"
#include "reports/escape.h"
#include "reports/machine_change.h"
#include "reports/ratio_interval.h"
#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

constexpr double kFalseAlarms = 0.01;  // expected in a whole history of pure noise, at most
constexpr double kLeastNoise = 0.001;  // a clock's resolution can make all medians alike

// A row's medians, as logarithms, and the reports that they are from.
struct Series {
  const Row* row = nullptr;
  std::vector<std::size_t> reports;
  std::vector<double> values;
};

std::map<std::string, Series> series_of(const std::vector<Report>& reports) {
  std::map<std::string, Series> all;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    for (const Row& row : reports[i].rows) {
      const double median = row.measured() ? median_of(row.samples_us) : 0;
      if (!(median > 0 && std::isfinite(median))) continue;
      Series& series = all[row.name];
      series.row = &row;
      series.reports.push_back(i);
      series.values.push_back(std::log(median));
    }
  }
  return all;
}

// That a standard normal exceeds, in size, with this probability: for small ones, Mills' bound, which is
// never too low.
double normal_quantile(double probability) {
  double quantile = 1;
  while (std::sqrt(2 / std::acos(-1.0)) * std::exp(-quantile * quantile / 2) / quantile > probability)
    quantile += 0.01;
  return quantile;
}

double mean(const std::vector<double>& values, std::size_t begin, std::size_t end) {
  double sum = 0;
  for (std::size_t i = begin; i < end; ++i) sum += values[i];
  return sum / static_cast<double>(end - begin);
}

// Conditions may change in a history, and are then named; what makes times another quantity may not.
void check_conditions(const std::vector<Report>& reports, History& history) {
  for (std::size_t i = 1; i < reports.size(); ++i) {
    for (const ContextDifference& difference : context_differences(reports[i - 1], reports[i])) {
      if (difference.kind != "driver" && difference.kind != "clocks") {
        throw UnusableInput(fmt::format("{} and {} have no common history: {}", reports[i - 1].path,
                                        reports[i].path, difference.text));
      }
      history.differences.push_back(
          fmt::format("{}: {}", visible(history.reports[i].commit), difference.text));
    }
  }
}

}  // namespace

bool History::regressed() const { return std::ranges::any_of(changes, &Change::regression); }

History history_of(std::vector<Report> reports, const Thresholds& thresholds) {
  std::ranges::stable_sort(reports, {}, [](const Report& report) { return report.field("date"); });
  History history;
  for (const Report& report : reports)
    history.reports.push_back({report.path, report.commit(), std::string(report.field("date"))});
  history.device = reports.back().device();
  check_conditions(reports, history);

  const std::map<std::string, Series> all = series_of(reports);
  std::vector<double> noises;
  double tests = 0;
  for (const auto& [name, series] : all) {
    if (series.values.size() < kFewestForHistory) {
      history.too_short.push_back(name);
      continue;
    }
    noises.push_back(noise_of(series.values));
    tests += static_cast<double>(series.values.size());
  }
  history.rows = noises.size();
  if (noises.empty()) return history;
  // A row whose few differences happen to be small is not less noisy than most rows of the machine.
  const double usual_noise = std::max(median_of(noises), kLeastNoise);
  const double quantile = normal_quantile(kFalseAlarms / tests);

  for (const auto& [name, series] : all) {
    const std::vector<double>& values = series.values;
    if (values.size() < kFewestForHistory) continue;
    const std::vector<std::size_t> points =
        change_points(values, std::max(noise_of(values), usual_noise), quantile);
    const double bound = 1 + thresholds.of(name).time.value_or(HUGE_VAL);
    for (std::size_t i = 0; i < points.size(); ++i) {
      const std::size_t begin = i == 0 ? 0 : points[i - 1], middle = points[i];
      const std::size_t end = i + 1 < points.size() ? points[i + 1] : values.size();
      const std::size_t last = series.reports[middle - 1], first = series.reports[middle];
      Change change{.name = name,
                    .report = first,
                    .last_before = history.reports[last].commit,
                    .first_after = history.reports[first].commit,
                    .before = std::exp(mean(values, begin, middle)),
                    .after = std::exp(mean(values, middle, end)),
                    .machine = MachineChange(reports[last], reports[first]).beside(*series.row),
                    .latest = i + 1 == points.size()};
      const double ratio = change.after / change.before, against_machine = ratio / change.machine.value_or(1);
      if (std::max(ratio, 1 / ratio) <= bound) continue;
      change.slower = std::min(ratio, against_machine) > bound;
      change.faster = std::max(ratio, against_machine) < 1 / bound;
      history.changes.push_back(change);
    }
  }
  std::ranges::stable_sort(history.changes, [](const Change& a, const Change& b) {
    if (a.regression() != b.regression()) return a.regression();
    return a.report > b.report;
  });
  return history;
}

History read_history(const std::string& folder, const Thresholds& thresholds) {
  std::vector<std::string> paths;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    if (entry.path().extension() == ".json") paths.push_back(entry.path().string());
  }
  if (failure) throw UnusableInput(fmt::format("{}: {}", folder, failure.message()));
  if (paths.size() < kFewestForHistory) {
    throw UnusableInput(fmt::format("{}: holds {} report{} (*.json), a history needs {}", folder,
                                    paths.size(), paths.size() == 1 ? "" : "s", kFewestForHistory));
  }
  std::ranges::sort(paths);
  std::vector<Report> reports;
  for (const std::string& path : paths) reports.push_back(read_report(path));
  for (const Report& report : reports) {
    if (report.google_benchmark != reports.front().google_benchmark)
      throw UnusableInput(fmt::format("{}: holds reports of lcnn_bench and of Google Benchmark", folder));
  }
  History history = history_of(std::move(reports), thresholds);
  if (history.rows == 0)
    throw UnusableInput(fmt::format("{}: no row was measured in {} reports", folder, kFewestForHistory));
  return history;
}

}  // namespace lcnn::reports
