#include "reports/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace lcnn::reports {
namespace {

// Where unchanged code takes this many times as long, times say nothing of what changed.
constexpr double kOtherMachine = 1.5;

// Comparisons are written so that a NaN is worse.
Verdict by_limits(double now, double best_same, double worst_same) {
  if (!(now <= worst_same)) return Verdict::worse;
  return now < best_same ? Verdict::better : Verdict::same;
}

std::optional<double> ratio_of(double base, double now) {
  const double ratio = now / base;
  return std::isfinite(ratio) ? std::optional(ratio) : std::nullopt;
}

// What all metrics but the time share: what is missing, the ratio, and that without a limit there is no
// verdict. `judge` is asked for the rest.
template <typename Judge>
std::optional<Finding> judge_metric(Metric metric, const std::optional<double>& base,
                                    const std::optional<double>& now, const std::optional<double>& limit,
                                    const Judge& judge) {
  if (!base && !now) return std::nullopt;
  Finding finding{.metric = metric, .base = base, .now = now};
  if (!base || !now) finding.note = fmt::format("{} has no {}", base ? "NEW" : "BASE", to_string(metric));
  if (base && now) finding.ratio = ratio_of(*base, *now);
  if (!limit) {
    finding.verdict = Verdict::informational;
  } else if (base && now) {
    finding.verdict = judge(*base, *now, *limit);
  }
  return finding;
}

Verdict judge_memory(double base, double now, double limit) {
  return by_limits(now, base / (1 + limit), base * (1 + limit));
}

Verdict judge_rel_err(double base, double now, double factor) {
  return by_limits(now, base / factor, base * factor);
}

// The one metric of which more is better.
Verdict judge_speedup(double base, double now, double limit) {
  return by_limits(1 / now, 1 / (base * (1 + limit)), (1 + limit) / base);
}

// The clock of a row whose own differs by more than 5%, though the reports' do not.
std::string clock_note(const Row& base, const Row& now) {
  if (!base.sm_mhz_median || !now.sm_mhz_median) return "";
  if (std::abs(*now.sm_mhz_median - *base.sm_mhz_median) <= 0.05 * *base.sm_mhz_median) return "";
  return fmt::format("the SM clock was {} and {} MHz", *base.sm_mhz_median, *now.sm_mhz_median);
}

void add_note(Finding& finding, const std::string& note) {
  if (!note.empty()) finding.note += (finding.note.empty() ? "" : "; ") + note;
}

// Slower (faster) is what is surely beyond the threshold: all of the interval lies there. A difference
// between two processes has a part that no samples of the row can show (where memory lies, what else ran), so
// the interval has to clear the threshold and not only 1, and two other witnesses have to agree: the fast
// samples, as what else runs seldom makes all of them longer, and what was measured alternately with the row.
void decide_time(Finding& time, double threshold, double fast_ratio, const Machine& machine) {
  const double bound = 1 + threshold;
  const auto [low, high] = *time.interval;
  const double against_machine = *time.ratio / machine.slower;
  const double scatter = std::exp(2 * machine.scatter);
  time.verdict = Verdict::same;
  if (!(low <= bound)) {
    if (fast_ratio <= bound) {
      time.note = "perhaps slower: the median is, the fastest tenth of the samples is not";
    } else if (against_machine <= bound) {
      time.note =
          fmt::format("perhaps slower, but so was the machine: Conv2d beside it took {:.2f} times as long",
                      machine.slower);
    } else if (against_machine <= scatter) {
      time.note = fmt::format("perhaps slower, but Conv2d's rows scatter by {:.1f}% between the reports",
                              100 * machine.scatter);
    } else {
      time.verdict = Verdict::worse;
    }
  } else if (high < 1 / bound) {
    if (fast_ratio < 1 / bound && against_machine < 1 / std::max(bound, scatter))
      time.verdict = Verdict::better;
  } else if (*time.ratio > bound) {
    time.note = "perhaps slower: the interval reaches to within the threshold";
  } else if (high / low > bound * bound) {
    time.note = "noisy: a change of the threshold's size could hide in the interval";
  }
}

// Where the spread between processes is known, as each has a value of its own, a slow-down is what the interval shows to
// be one and what is beyond the threshold. The machine counts where it changed by more than that itself.
void decide_time_of_processes(Finding& time, double threshold, const Machine& machine) {
  const double bound = 1 + threshold;
  const auto [low, high] = *time.interval;
  const bool machine_changed = std::abs(std::log(machine.slower)) > std::log(bound);
  const double against_machine = *time.ratio / (machine_changed ? machine.slower : 1);
  time.verdict = Verdict::same;
  if (!(low <= 1) && *time.ratio > bound) {
    if (against_machine > bound) {
      time.verdict = Verdict::worse;
    } else {
      time.note = fmt::format("perhaps slower, but so was the machine: Conv2d beside it took {:.2f} times as long",
                              machine.slower);
    }
  } else if (high < 1 && *time.ratio < 1 / bound) {
    if (against_machine < 1 / bound) time.verdict = Verdict::better;
  } else if (*time.ratio > bound) {
    time.note = "perhaps slower: the processes differ by as much";
  } else if (high / low > bound * bound) {
    time.note = "noisy: a change of the threshold's size could hide in the interval";
  }
}

Finding judge_time(const Row& base, const Row& now, const Limits& limits, Intervals intervals,
                   const Machine& machine) {
  Finding time{.metric = Metric::time};
  for (const auto& [row, side, value] :
       {std::tuple(&base, "BASE", &time.base), std::tuple(&now, "NEW", &time.now)}) {
    if (const auto reason = why_not_judged(row->samples_us))
      add_note(time, fmt::format("{} {}{}", side, *reason, row->of_processes ? ", one a process" : ""));
    if (const double median = median_of(row->samples_us); std::isfinite(median)) *value = median;
  }
  if (time.base && time.now) time.ratio = ratio_of(*time.base, *time.now);
  if (time.note.empty() && !(time.ratio && *time.ratio > 0)) time.note = "the medians have no finite ratio";
  if (!time.note.empty()) return time;

  const double threshold = limits.time.value_or(0);
  const bool beyond = std::abs(std::log(*time.ratio)) > std::log1p(threshold);
  const bool processes = base.of_processes && now.of_processes;
  if (beyond || intervals == Intervals::all)
    time.interval = (processes ? ratio_interval_of_processes : ratio_interval)(base.samples_us, now.samples_us);
  const bool base_disturbed = !processes && disturbed(base.samples_us);
  const bool now_disturbed = !processes && disturbed(now.samples_us);
  if (!limits.time) {
    time.verdict = Verdict::informational;
  } else if (base_disturbed || now_disturbed) {
    time.note =
        fmt::format("{} was measured on a busy machine: its median is over 1.5 times its fastest tenth",
                    base_disturbed && now_disturbed ? "each"
                    : base_disturbed                ? "BASE"
                                                    : "NEW");
  } else if (!(std::abs(std::log(machine.slower)) <= std::log(kOtherMachine))) {
    time.note = fmt::format("another machine, or a busy one: Conv2d beside it took {:.2f} times as long",
                            machine.slower);
  } else if (!time.interval) {
    time.verdict = Verdict::same;
  } else if (processes) {
    decide_time_of_processes(time, threshold, machine);
  } else {
    decide_time(time, threshold, fast_of(now.samples_us) / fast_of(base.samples_us), machine);
  }
  if (base.throttled) add_note(time, "BASE was throttled");
  if (now.throttled) add_note(time, "NEW was throttled");
  add_note(time, clock_note(base, now));
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

ComparedRow compare_rows(const Row& base, const Row& now, const Limits& limits, Intervals intervals,
                         const Machine& machine) {
  ComparedRow row{
      .name = base.name, .base_disposition = base.disposition, .now_disposition = now.disposition};
  if (!base.measured() || !now.measured()) {
    if (base.measured()) row.disposition = Verdict::worse;
    if (now.measured()) row.disposition = Verdict::better;
    if (!now.measured()) row.note = now.reason;
    return row;
  }
  row.findings.push_back(judge_time(base, now, limits, intervals, machine));
  const auto judge_prepare = [&](double before, double after, double limit) {
    const double least = limits.prepare_at_least_ms;
    return by_limits(after, std::min(before / (1 + limit), before - least),
                     std::max(before * (1 + limit), before + least));
  };
  const std::optional<Finding> others[] = {
      judge_metric(Metric::memory, base.peak_bytes, now.peak_bytes, limits.memory, judge_memory),
      judge_metric(Metric::rel_err, base.rel_err, now.rel_err, limits.rel_err, judge_rel_err),
      judge_metric(Metric::prepare, base.prepare_ms, now.prepare_ms, limits.prepare, judge_prepare),
      judge_metric(Metric::speedup, base.speedup, now.speedup, limits.speedup, judge_speedup)};
  for (const std::optional<Finding>& finding : others) {
    if (finding) row.findings.push_back(*finding);
  }
  return row;
}

}  // namespace lcnn::reports
