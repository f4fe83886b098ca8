// The times of many reports of one machine, and where they changed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reports/report.h"
#include "reports/thresholds.h"

namespace lcnn::reports {

// A row's level changed for good between two reports that follow one another.
struct Change {
  std::string name;
  std::size_t report = 0;                // index into History::reports of the first report on the new level
  std::string last_before, first_after;  // their commits: the change came after the one and by the other
  double before = 0, after = 0;          // the levels, microseconds
  std::optional<double>
      machine;          // how many times as long Conv2d beside the row took, between the same reports
  bool slower = false;  // beyond the threshold, also against the machine
  bool faster = false;  // the same; where neither is true, the machine changed
  bool latest = false;  // the row's last change: what holds now

  bool regression() const { return slower && latest; }
};

struct History {
  struct Run {
    std::string path, commit, date;
  };
  std::string device;
  std::vector<Run> reports;  // by date
  std::vector<std::string>
      differences;                     // of the conditions from one report to the next, such as a new driver
  std::size_t rows = 0;                // that were looked at
  std::vector<std::string> too_short;  // rows that too few reports measured
  std::vector<Change> changes;         // regressions first, then the newest

  bool regressed() const;
};

// Reads every *.json of `folder`. Throws UnusableInput, one line, where it has fewer than kFewestForHistory
// reports, one cannot be used, or they are of different devices, timing modes or precisions.
History read_history(const std::string& folder, const Thresholds& thresholds);

// Of reports in any order.
History history_of(std::vector<Report> reports, const Thresholds& thresholds);

// The three formats. reports/README.md documents that of json.
std::string console(const History& history);
std::string markdown(const History& history);
std::string json(const History& history);

}  // namespace lcnn::reports
