#include "bench/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>

namespace lcnn::bench {
namespace {

double megabytes(std::int64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

// Google Benchmark 1.7 says error_occurred, 1.8 says skipped.
template <typename Run>
bool has_error(const Run& run) {
  if constexpr (requires { run.error_occurred; }) return run.error_occurred;
  else return run.skipped != 0;
}

template <typename Base, bool kMediansOnly>
class NamedReporter final : public Base {
 public:
  using Base::Base;
  void ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run>& runs) override {
    std::vector<benchmark::BenchmarkReporter::Run> shown;
    for (benchmark::BenchmarkReporter::Run run : runs) {
      if (kMediansOnly && !stands_for_its_row(run)) continue;
      const std::string name = run.run_name.function_name;
      run.run_name = {};
      run.run_name.function_name = name;
      if (kMediansOnly) run.run_type = benchmark::BenchmarkReporter::Run::RT_Iteration;  // no suffix
      shown.push_back(std::move(run));
    }
    if (!shown.empty()) Base::ReportRuns(shown);
  }

 private:
  static bool stands_for_its_row(const benchmark::BenchmarkReporter::Run& run) {
    if (run.run_type == benchmark::BenchmarkReporter::Run::RT_Aggregate) return run.aggregate_name == "median";
    return run.repetitions <= 1 || (has_error(run) && run.repetition_index == 0);
  }
};

const Row* fastest(const std::vector<Row>& rows, VariantKind kind) {
  const Row* best = nullptr;
  for (const Row& row : rows) {
    if (row.measured() && row.kind == kind && (best == nullptr || row.timing->median_us < best->timing->median_us)) {
      best = &row;
    }
  }
  return best;
}

}  // namespace

std::unique_ptr<benchmark::BenchmarkReporter> make_reporter(std::string_view format) {
  if (format == "console") {
    using Console = NamedReporter<benchmark::ConsoleReporter, true>;
    return std::make_unique<Console>(isatty(STDOUT_FILENO) ? benchmark::ConsoleReporter::OO_ColorTabular
                                                           : benchmark::ConsoleReporter::OO_Tabular);
  }
  if (format == "json") return std::make_unique<NamedReporter<benchmark::JSONReporter, false>>();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  if (format == "csv") return std::make_unique<NamedReporter<benchmark::CSVReporter, false>>();
#pragma GCC diagnostic pop
  throw std::invalid_argument(fmt::format("--benchmark_format={}: console, json or csv are accepted", format));
}

Progress::Progress(std::size_t groups) : terminal_(isatty(STDERR_FILENO) != 0), groups_(groups) {}
Progress::~Progress() { clear(); }
void Progress::next_group() { ++group_; }
void Progress::show(std::string_view what) {
  if (terminal_) fmt::print(stderr, "\r\033[K[{}/{}] {}", group_, groups_, what.substr(0, 100));
}
void Progress::clear() {
  if (terminal_) fmt::print(stderr, "\r\033[K");
}

std::string original_lines(const std::vector<Row>& group) {
  const Row* conv2d = fastest(group, VariantKind::conv2d);
  const Row* lookup = fastest(group, VariantKind::lookup);
  if (conv2d == nullptr || lookup == nullptr) return {};
  const auto line = [](const char* layer, const Row& row) {
    return fmt::format("{} - Avg time: {:.4f} ms, Memory usage: {:.2f} MB\n", layer, row.timing->median_us / 1e3,
                       megabytes(row.memory->peak()));
  };
  return line("Conv2d", *conv2d) + line("LookupConv2d", *lookup) +
         fmt::format("Speed difference: {:.2f}x\nMemory difference: {:.2f}x\n"
                     "  ({} against {}; most of the memory difference is {})\n",
                     *lookup->speedup, *lookup->memory_ratio, lookup->name, conv2d->name, lookup->memory_difference);
}

std::string summary_table(const std::vector<Row>& group) {
  std::vector<const Row*> rows;
  for (const Row& row : group) rows.push_back(&row);
  std::ranges::stable_sort(rows, {}, [](const Row* row) {
    return row->measured() ? row->timing->median_us : std::numeric_limits<double>::infinity();
  });
  std::string table = fmt::format("{:<72} {:>11} {:>6} {:>8} {:>9} {:>9} {:>10} {:>11}\n", "row", "median us", "+-%",
                                  "speed-up", "roofline", "rel_err", "peak MB", "prepare ms");
  for (const Row* row : rows) {
    if (!row->measured()) {
      table += fmt::format("{:<72} {}: {}\n", row->name, to_string(row->disposition), row->reason);
      continue;
    }
    table += fmt::format("{:<72} {:>11.2f} {:>6.2f} {:>8} {:>9} {:>9.1e} {:>10.2f} {:>11.1f}{}\n", row->name,
                         row->timing->median_us, 100 * row->timing->relative_uncertainty,
                         row->speedup ? fmt::format("{:.2f}x", *row->speedup) : "-", row->roofline ? fmt::format("{:.1f}%", 100 * row->roofline->share) : "-",
                         row->verification->rel_err, megabytes(row->memory->peak()), row->prepare_ms,
                         row->clocks && row->clocks->throttled ? "  throttled" : "");
    if (row->profiled) {
      table.back() = ' ';
      table += fmt::format(" under the profiler, {:+.1f}% against {:.2f} us without\n", 100 * row->profiled->overhead,
                           row->profiled->unprofiled_median_us);
    }
  }
  return table;
}

}  // namespace lcnn::bench
