// A comparison as text, in four formats.
#pragma once

#include <string>
#include <string_view>

#include "reports/compare.h"

namespace lcnn::reports {

// A table for a terminal, what regressed first; rows that are the same are counted, not listed.
std::string console(const Comparison& comparison);

// Fit for a comment on a pull request: the verdict, what changed, and the table of all rows folded.
std::string markdown(const Comparison& comparison);

// Everything that is known, fields as in Comparison; reports/README.md documents them.
std::string json(const Comparison& comparison);

// JUnit's XML: a test case a row, failed where it regressed, skipped where nothing can be said.
std::string junit(const Comparison& comparison);

// What the formats share.

// "2 of 103 rows are worse, 1 better, 0 unknown, 100 the same; 3 added, 0 removed".
std::string summary(const Comparison& comparison);

// A number as people read it: three significant digits and a unit, such as "1.21 ms" or "35.0 MB".
std::string value_text(Metric metric, double value);

// What there is to say of a row, one line: "slower: 8.10 us to 9.02 us (+11.4%, 99% interval +10.2% to
// +12.6%); memory worse: ...". Findings that are the same are left out; empty when all are.
std::string describe(const ComparedRow& row);

// "+11.4%", and "+10.2% to +12.6%"; empty where it is not known.
std::string change_text(const Finding& finding);
std::string interval_text(const Finding& finding);

}  // namespace lcnn::reports
