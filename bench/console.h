// What a person sees: Google Benchmark's console with our names, progress, and the comparison's summary.
#pragma once

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/row.h"

namespace lcnn::bench {

// Reporters of Google Benchmark that show rows by their own names, without the suffixes for iterations, repetitions
// and manual time; the console shows each row's median alone. `format` is "console", "json" or "csv".
// Throws std::invalid_argument for another one.
std::unique_ptr<benchmark::BenchmarkReporter> make_reporter(std::string_view format);

// One line on stderr that is overwritten, only when stderr is a terminal.
class Progress {
 public:
  explicit Progress(std::size_t groups);
  ~Progress();
  void next_group();
  void show(std::string_view what);
  void clear();

 private:
  bool terminal_;
  std::size_t groups_, group_ = 0;
};

// The original's four lines, for the fastest lookup variant of the group, or empty when nothing can be compared.
std::string original_lines(const std::vector<Row>& group);

// All rows of a group as a table, fastest first, failures and unsupported ones with their reasons after them.
std::string summary_table(const std::vector<Row>& group);

}  // namespace lcnn::bench
