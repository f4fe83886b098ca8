// The events of a JSON parser made into a Report: only the fields that are compared are kept.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reports/json_file.h"
#include "reports/report.h"

namespace lcnn::reports {

// An entry of Google Benchmark's list: a repetition, an aggregate, or a failure.
struct BenchmarkEntry {
  std::string name, run_type = "iteration", time_unit = "ns", error_message;
  double real_time = -1;
  bool failed = false, skipped = false;
};

// nlohmann's SAX interface. It throws UnusableInput at the first thing that is no report.
class ReportParser {
 public:
  ReportParser(Report& report, JsonFile& file) : report_(report), file_(file) {}

  bool null() { return true; }
  bool boolean(bool value);
  bool number_integer(std::int64_t value) { return number(static_cast<double>(value)); }
  bool number_unsigned(std::uint64_t value) { return number(static_cast<double>(value)); }
  bool number_float(double value, const std::string&) { return number(value); }
  bool string(std::string& value);
  bool binary(std::vector<std::uint8_t>&) { return true; }
  bool start_object(std::size_t);
  bool end_object();
  bool start_array(std::size_t);
  bool end_array();
  bool key(std::string& name);
  bool parse_error(std::size_t position, const std::string& last_token,
                   const nlohmann::json::exception& error);

  bool has_rows() const { return has_rows_; }
  bool has_benchmarks() const { return has_benchmarks_; }
  const std::vector<BenchmarkEntry>& benchmarks() const { return benchmarks_; }

 private:
  enum class Section { other, context, benchmarks, rows };

  void enter();
  bool number(double value);
  void keep_in_context(std::string text);
  // The field of a row or entry that a value belongs to, such as "timing/samples_us".
  bool in_row(int depth) const { return section_ == Section::rows && depth_ == depth; }
  bool in_benchmark() const { return section_ == Section::benchmarks && depth_ == 3; }

  Report& report_;
  JsonFile& file_;
  std::vector<BenchmarkEntry> benchmarks_;
  Section section_ = Section::other;
  int depth_ = 0;                  // objects and arrays that are open
  std::vector<std::string> keys_;  // the key of each open object, empty for an array
  bool has_rows_ = false, has_benchmarks_ = false;
};

}  // namespace lcnn::reports
