// Reads a report, whatever its size, without holding its text.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "reports/report.h"

namespace lcnn::reports {

// Input that cannot be used; what() is one line that names the file.
struct UnusableInput : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Deeper than any report, and shallow enough for what handles JSON recursively.
inline constexpr int kMostDepth = 64;

// Reads the report of lcnn_bench, or of Google Benchmark, at `path`. Throws UnusableInput when it cannot be
// opened, is not JSON (NaN and Infinity are none), is no report, is of another schema version, or names two
// rows alike.
Report read_report(const std::string& path);

// Reads all of a JSON file, its fields in their order. Throws UnusableInput.
nlohmann::ordered_json read_json(const std::string& path);

}  // namespace lcnn::reports
