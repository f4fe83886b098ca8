// The report of a run: Google Benchmark's JSON, with our own fields beside it. Schema: reports/schema.json.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bench/options.h"
#include "bench/row.h"
#include "bench/session.h"

namespace lcnn::bench {

// Raised when a field of the report changes its meaning or goes away; new fields do not raise it.
inline constexpr int kReportSchemaVersion = 1;

// What produced the rows: Google Benchmark's context plus device, versions, build, commit, options and limits.
nlohmann::ordered_json make_context(Session& session, const Options& options, const MachineLimits& limits);

// One row with all its fields; what was not measured is null, with the row's reason.
nlohmann::ordered_json to_json(const Row& row);

// A row's samples as the repetitions that Google Benchmark would have written: medians of `repetitions` consecutive
// groups of samples, in microseconds.
std::vector<double> repetition_times(const Row& row, int repetitions);

// Writes `text` beside `path`, then renames it: a reader sees the file of before or all of the new one. Throws
// std::runtime_error, one line that begins with `option` ("--report=x.json"), when it cannot be written.
void replace_file(const std::string& option, const std::string& path, const std::string& text);

// Throws std::runtime_error, one line that names the option, when no file can be made at `path`.
void require_writable(std::string_view option, const std::string& path);

// Rows are written as they come: the file is replaced as a whole by rename, so at any moment it is a valid report of
// every finished row. Nothing is written before the first row.
class Report {
 public:
  // Starts a report at `path`; an empty path keeps it in memory. Throws std::runtime_error when the folder of `path`
  // cannot be written to.
  Report(std::string path, nlohmann::ordered_json context, int repetitions);

  // Continues the report at `path`, or starts one where there is none. Throws std::invalid_argument, one line, when
  // the file is not a report, or is one of another schema, device, timing mode or seed.
  static Report resume(const std::string& path, nlohmann::ordered_json context, int repetitions);

  std::vector<std::string> finished() const;  // names of its rows
  void add(const std::vector<Row>& rows);     // and writes

 private:
  void write() const;

  std::string path_;
  nlohmann::ordered_json context_;
  int repetitions_;
  std::vector<std::string> names_;
  std::vector<std::string> rows_, benchmarks_;  // serialised
};

}  // namespace lcnn::bench
