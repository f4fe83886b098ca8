#include "reports/report_parser.h"

#include <fmt/format.h>

#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

// std::regex, which thresholds use, recurses over a name.
constexpr std::size_t kLongestName = 4096;

}  // namespace

void ReportParser::enter() {
  if (++depth_ > kMostDepth)
    throw UnusableInput(fmt::format("{}: is nested more than {} deep", report_.path, kMostDepth));
  if (keys_.size() < static_cast<std::size_t>(depth_) + 1) keys_.resize(depth_ + 1);
  keys_[depth_].clear();
}

bool ReportParser::start_object(std::size_t) {
  enter();
  if (in_row(3)) report_.rows.emplace_back();
  if (in_row(4) && keys_[3] == "profiled") report_.rows.back().profiled = true;
  if (in_benchmark()) benchmarks_.emplace_back();
  return true;
}

bool ReportParser::end_object() {
  if (in_row(3)) {
    const Row& row = report_.rows.back();
    if (row.name.empty() || row.disposition.empty())
      throw UnusableInput(
          fmt::format("{}: row {} has no name or no disposition", report_.path,
                                      report_.rows.size() + report_.profiled));
    if (row.profiled) {
      report_.rows.pop_back();
      ++report_.profiled;
    }
  }
  --depth_;
  return true;
}

bool ReportParser::start_array(std::size_t) {
  enter();
  if (depth_ == 1) throw UnusableInput(fmt::format("{}: is no report: it is a list", report_.path));
  if (in_row(3) || in_benchmark()) throw UnusableInput(fmt::format("{}: a row is a list", report_.path));
  if (depth_ == 2 && section_ == Section::rows) has_rows_ = true;
  if (depth_ == 2 && section_ == Section::benchmarks) {
    has_benchmarks_ = true;
    // lcnn_bench writes its version before them, and they say nothing that its rows do not: half of a large
    // file.
    if (report_.context.contains("lcnn_schema_version")) file_.skip_array();
  }
  return true;
}

bool ReportParser::end_array() {
  --depth_;
  return true;
}

bool ReportParser::key(std::string& name) {
  keys_[depth_].swap(name);
  if (depth_ == 1) {
    const std::string& section = keys_[1];
    section_ = section == "context"      ? Section::context
               : section == "benchmarks" ? Section::benchmarks
               : section == "rows"       ? Section::rows
                                         : Section::other;
  }
  return true;
}

void ReportParser::keep_in_context(std::string text) {
  std::string path;
  for (int depth = 2; depth <= depth_; ++depth) path += (depth == 2 ? "" : "/") + keys_[depth];
  report_.context[path] = std::move(text);
}

bool ReportParser::number(double value) {
  if (section_ == Section::context) {
    keep_in_context(fmt::format("{}", value));
  } else if (in_row(5)) {
    if (keys_[4] == "samples_us" && keys_[3] == "timing") report_.rows.back().samples_us.push_back(value);
  } else if (in_row(4)) {
    Row& row = report_.rows.back();
    const std::string& parent = keys_[3];
    const std::string& field = keys_[4];
    if (field == "peak_bytes" && parent == "memory") row.peak_bytes = value;
    if (field == "batch" && parent == "problem") row.batch = value;
    if (field == "rel_err" && parent == "verification") row.rel_err = value;
    if (field == "sm_mhz_median" && parent == "clocks") row.sm_mhz_median = value;
  } else if (in_row(3)) {
    Row& row = report_.rows.back();
    if (keys_[3] == "prepare_ms") row.prepare_ms = value;
    if (keys_[3] == "speedup") row.speedup = value;
  } else if (in_benchmark()) {
    if (keys_[3] == "real_time") benchmarks_.back().real_time = value;
  }
  return true;
}

bool ReportParser::boolean(bool value) {
  if (section_ == Section::context) keep_in_context(value ? "true" : "false");
  if (in_row(4) && keys_[3] == "clocks" && keys_[4] == "throttled") report_.rows.back().throttled = value;
  if (in_benchmark() && keys_[3] == "error_occurred") benchmarks_.back().failed = value;
  if (in_benchmark() && keys_[3] == "skipped") benchmarks_.back().skipped = value;
  return true;
}

bool ReportParser::string(std::string& value) {
  if (section_ == Section::context) {
    keep_in_context(value);
    return true;
  }
  const bool row = in_row(3);
  if (!row && !in_benchmark()) return true;
  const std::string& field = keys_[3];
  if (field == "name" && value.size() > kLongestName) {
    throw UnusableInput(
        fmt::format("{}: a name has {} characters, more than {}", report_.path, value.size(), kLongestName));
  }
  if (row) {
    Row& into = report_.rows.back();
    if (field == "name") into.name = value;
    if (field == "disposition") into.disposition = value;
    if (field == "reason") into.reason = value;
    if (field == "precision") into.precision = value;
    if (field == "kind") into.kind = value;
    if (field == "set") into.set = value;
    if (field == "layer") into.layer = value;
  } else {
    BenchmarkEntry& into = benchmarks_.back();
    if (field == "name") into.name = value;
    if (field == "run_type") into.run_type = value;
    if (field == "time_unit") into.time_unit = value;
    if (field == "error_message" || field == "skip_message") into.error_message = value;
  }
  return true;
}

bool ReportParser::parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) {
  throw UnusableInput(file_.not_json(error.what()));
}

}  // namespace lcnn::reports
