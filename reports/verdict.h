// What became of one row: a verdict on each thing that was measured of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/ratio_interval.h"
#include "reports/report.h"
#include "reports/thresholds.h"

namespace lcnn::reports {

enum class Metric { time, memory, rel_err, prepare, speedup };

enum class Verdict {
  same,  // no difference, or one within the noise or the threshold
  better,
  worse,          // a regression
  unknown,        // cannot be said; the note says why
  informational,  // has no threshold
};

std::string_view to_string(Metric metric);

// In the words of the metric: a time is faster or slower, all else better or worse.
std::string_view to_string(Metric metric, Verdict verdict);

struct Finding {
  Metric metric = Metric::time;
  Verdict verdict = Verdict::unknown;
  std::optional<double> base, now;   // microseconds, bytes, no unit, milliseconds, no unit
  std::optional<double> ratio;       // now over base
  std::optional<Interval> interval;  // of the ratio; of the time only
  std::string note;                  // why it is unknown, or what else to know; mostly empty
};

struct ComparedRow {
  std::string name, base_disposition, now_disposition;
  Verdict disposition = Verdict::same;  // worse: was measured and is not; better: the reverse
  std::string note;
  std::vector<Finding> findings;  // the time first; none where the row was not measured twice

  Verdict overall() const;  // the worst of all; better before same, and unknown before both
  const Finding* find(Metric metric) const;
};

// When the interval of a ratio is estimated: it costs a millisecond a row.
enum class Intervals {
  all,
  where_the_verdict_needs_them,  // only where the medians differ by more than the threshold
};

// What other rows of the reports say of the machine, see MachineChange.
struct Machine {
  double slower = 1;   // how many times as long as before what ran alternately with the row took
  double scatter = 0;  // how rows of unchanged code scatter around that, as a relative standard deviation
};

// `base` and `now` have the same name. What neither tells has no finding, what only one tells is unknown. A
// row is slower only if it is so against what ran alternately with it too, by the threshold and by twice
// the scatter.
ComparedRow compare_rows(const Row& base, const Row& now, const Limits& limits, Intervals intervals,
                         const Machine& machine = {});

}  // namespace lcnn::reports
