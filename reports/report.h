// What is read of a report to compare it: reports of lcnn_bench, and Google Benchmark's own JSON.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lcnn::reports {

// The version of reports/schema.json that is read. A later version that can still be read has its home in
// read_report.
inline constexpr int kSchemaVersion = 1;

// One row. What the report does not tell is absent.
struct Row {
  std::string name;
  std::string disposition;  // measured, incorrect, error or unsupported
  std::string reason;       // why it is not measured
  std::string precision;
  std::string kind, set, layer;  // lookup, conv2d or peer, and what it was measured on
  std::optional<double> batch;
  std::vector<double> samples_us;  // in the order in which they were taken
  bool of_processes = false;       // samples_us has instead a value a process, see read_side
  std::optional<double> peak_bytes, rel_err, prepare_ms, speedup, sm_mhz_median;
  bool throttled = false;
  bool profiled = false;  // while it is read: such rows are left out of Report::rows

  bool measured() const { return disposition == "measured"; }
};

struct Report {
  std::string path;
  bool google_benchmark = false;  // has no rows of ours: each row's repetitions are its samples
  std::map<std::string, std::string>
      context;            // scalars by their path, such as "device/name"; strings without quotes
  std::vector<Row> rows;  // names are unique
  std::size_t processes = 1;
  std::size_t profiled = 0;  // rows left out: measured under the profiler, they are compared with none

  // A scalar of the context as text, empty where it is absent.
  std::string_view field(const std::string& path_in_context) const {
    const auto found = context.find(path_in_context);
    return found == context.end() ? std::string_view() : std::string_view(found->second);
  }

  // As people name it, such as 76d0580d6bb4-dirty.
  std::string commit() const {
    return std::string(field("git/commit").substr(0, 12)) + (field("git/dirty") == "true" ? "-dirty" : "");
  }
  std::string device() const { return std::string(field(google_benchmark ? "host_name" : "device/name")); }
};

}  // namespace lcnn::reports
