#include "reports/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace lcnn::reports {
namespace {

// Comparisons are written so that a NaN is worse.
Verdict by_limits(double now, double best_same, double worst_same) {
  if (!(now <= worst_same)) return Verdict::worse;
  return now < best_same ? Verdict::better : Verdict::same;
}

std::optional<double> ratio_of(double base, double now) {
  const double ratio = now / base;
  return std::isfinite(ratio) ? std::optional(ratio) : std::nullopt;
}

// The part that all metrics share: what is missing, and the ratio. Nothing when neither row tells.
std::optional<Finding> begin(Metric metric, const std::optional<double>& base,
                             const std::optional<double>& now) {
  if (!base && !now) return std::nullopt;
  Finding finding{.metric = metric, .base = base, .now = now};
  if (base && now) {
    finding.ratio = ratio_of(*base, *now);
  } else {
    finding.note = fmt::format("{} has no {}", base ? "NEW" : "BASE", to_string(metric));
  }
  return finding;
}

// `limit`: a relative change. Smaller is better.
std::optional<Finding> relative(Metric metric, const std::optional<double>& base,
                                const std::optional<double>& now, const std::optional<double>& limit,
                                double least_change) {
  std::optional<Finding> finding = begin(metric, base, now);
  if (!finding || !base || !now) return finding;
  if (!limit) {
    finding->verdict = Verdict::informational;
  } else {
    const double change = std::max(*base * *limit, least_change);
    finding->verdict = by_limits(*now, std::min(*base / (1 + *limit), *base - least_change), *base + change);
  }
  return finding;
}

std::optional<Finding> judge_rel_err(const Row& base, const Row& now, const Limits& limits) {
  std::optional<Finding> finding = begin(Metric::rel_err, base.rel_err, now.rel_err);
  if (!finding || !base.rel_err || !now.rel_err) return finding;
  finding->verdict = limits.rel_err ? by_limits(*now.rel_err, *base.rel_err / *limits.rel_err,
                                                *base.rel_err * *limits.rel_err)
                                    : Verdict::informational;
  return finding;
}

std::optional<Finding> judge_speedup(const Row& base, const Row& now, const Limits& limits) {
  std::optional<Finding> finding = begin(Metric::speedup, base.speedup, now.speedup);
  if (!finding || !base.speedup || !now.speedup) return finding;
  finding->verdict = limits.speedup ? by_limits(1 / *now.speedup, 1 / (*base.speedup * (1 + *limits.speedup)),
                                                (1 + *limits.speedup) / *base.speedup)
                                    : Verdict::informational;
  return finding;
}

// Slower (faster) is what is surely beyond the threshold: all of the interval lies there. A difference
// between two processes has a part that no samples of either can show (where memory lies, what else ran), so
// the interval has to clear the threshold and not only 1.
void decide_time(Finding& time, double threshold) {
  const double bound = 1 + threshold;
  const auto [low, high] = *time.interval;
  if (!(low <= bound)) {
    time.verdict = Verdict::worse;
  } else if (high < 1 / bound) {
    time.verdict = Verdict::better;
  } else {
    time.verdict = Verdict::same;
    if (*time.ratio > bound)
      time.note = "perhaps slower: the interval reaches to within the threshold";
    else if (high / low > bound * bound)
      time.note = "noisy: a change of the threshold's size could hide in the interval";
  }
}

Finding judge_time(const Row& base, const Row& now, const Limits& limits, Intervals intervals) {
  Finding time{.metric = Metric::time};
  for (const auto& [row, side, value] :
       {std::tuple(&base, "BASE", &time.base), std::tuple(&now, "NEW", &time.now)}) {
    if (const auto reason = why_not_judged(row->samples_us)) {
      time.note += fmt::format("{}{} {}", time.note.empty() ? "" : "; ", side, *reason);
    }
    if (const double median = median_of(row->samples_us); std::isfinite(median)) *value = median;
  }
  if (time.base && time.now) time.ratio = ratio_of(*time.base, *time.now);
  if (time.note.empty() && !time.ratio) time.note = "the medians have no finite ratio";
  if (!time.note.empty()) return time;
  const double threshold = limits.time.value_or(0);
  const bool beyond = std::abs(std::log(*time.ratio)) > std::log1p(threshold);
  if (beyond || intervals == Intervals::all) time.interval = ratio_interval(base.samples_us, now.samples_us);
  if (!limits.time) {
    time.verdict = Verdict::informational;
  } else if (!time.interval) {
    time.verdict = Verdict::same;
  } else {
    decide_time(time, threshold);
  }
  for (const auto& [row, side] : {std::pair(&base, "BASE"), std::pair(&now, "NEW")}) {
    if (row->throttled) time.note += fmt::format("{}{} was throttled", time.note.empty() ? "" : "; ", side);
  }
  return time;
}

}  // namespace

std::string_view to_string(Metric metric) {
  switch (metric) {
    case Metric::time:
      return "time";
    case Metric::memory:
      return "memory";
    case Metric::rel_err:
      return "rel_err";
    case Metric::prepare:
      return "prepare";
    case Metric::speedup:
      return "speedup";
  }
  return "?";
}

std::string_view to_string(Metric metric, Verdict verdict) {
  const bool time = metric == Metric::time;
  switch (verdict) {
    case Verdict::same:
      return "same";
    case Verdict::better:
      return time ? "faster" : "better";
    case Verdict::worse:
      return time ? "slower" : "worse";
    case Verdict::unknown:
      return "unknown";
    case Verdict::informational:
      return "informational";
  }
  return "?";
}

Verdict ComparedRow::overall() const {
  std::vector<Verdict> all{disposition};
  for (const Finding& finding : findings) all.push_back(finding.verdict);
  for (const Verdict verdict : {Verdict::worse, Verdict::unknown, Verdict::better}) {
    if (std::ranges::find(all, verdict) != all.end()) return verdict;
  }
  return Verdict::same;
}

const Finding* ComparedRow::find(Metric metric) const {
  const auto found = std::ranges::find(findings, metric, &Finding::metric);
  return found == findings.end() ? nullptr : &*found;
}

ComparedRow compare_rows(const Row& base, const Row& now, const Limits& limits, Intervals intervals) {
  ComparedRow row{
      .name = base.name, .base_disposition = base.disposition, .now_disposition = now.disposition};
  if (!base.measured() || !now.measured()) {
    if (base.measured()) row.disposition = Verdict::worse;
    if (now.measured()) row.disposition = Verdict::better;
    if (!now.measured()) row.note = now.reason;
    return row;
  }
  row.findings.push_back(judge_time(base, now, limits, intervals));
  const std::optional<Finding> others[] = {
      relative(Metric::memory, base.peak_bytes, now.peak_bytes, limits.memory, 0),
      judge_rel_err(base, now, limits),
      relative(Metric::prepare, base.prepare_ms, now.prepare_ms, limits.prepare, limits.prepare_at_least_ms),
      judge_speedup(base, now, limits)};
  for (const std::optional<Finding>& finding : others) {
    if (finding) row.findings.push_back(*finding);
  }
  return row;
}

}  // namespace lcnn::reports
