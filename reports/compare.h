// Two reports against one another, row by row.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "reports/report.h"
#include "reports/thresholds.h"
#include "reports/verdict.h"

namespace lcnn::reports {

struct Comparison {
  std::string base_path, now_path, base_commit, now_commit, device;
  std::vector<std::string> differences;  // of the conditions, that were allowed
  std::vector<ComparedRow> rows;         // in both, the worst first
  std::vector<std::string> added, removed;

  std::size_t count(Verdict overall) const;
  bool regressed() const { return count(Verdict::worse) > 0; }
};

// Pairs rows by name. Throws UnusableInput, one line, where nothing can be compared: conditions that differ
// and are not in `allowed` (kinds of context_differences), one report of lcnn_bench and one of Google
// Benchmark, no row in common, or no row on which anything can be said.
Comparison compare(const Report& base, const Report& now, const Thresholds& thresholds,
                   const std::set<std::string>& allowed);

}  // namespace lcnn::reports
