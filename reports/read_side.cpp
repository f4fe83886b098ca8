#include "reports/read_side.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <limits>
#include <optional>
#include <unordered_map>

#include "reports/context_differences.h"
#include "reports/escape.h"
#include "reports/ratio_interval.h"
#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

void check_same_run(const Report& first, const Report& other) {
  const auto refuse = [&](const std::string& why) {
    throw UnusableInput(fmt::format("{} and {} are not of one side: {}", first.path, other.path, why));
  };
  if (first.google_benchmark != other.google_benchmark)
    refuse("one is lcnn_bench's, the other Google Benchmark's");
  if (first.commit() != other.commit())
    refuse(fmt::format("git/commit: {} and {}", visible(first.commit()), visible(other.commit())));
  const auto differences = context_differences(first, other);
  if (!differences.empty()) refuse(differences.front().text);
  if (first.rows.size() != other.rows.size())
    refuse(fmt::format("they have {} and {} rows", first.rows.size(), other.rows.size()));
}

// The fastest tenth: what else runs on the machine changes the median from process to process several times
// as much.
double level_of(const Row& row) {
  return why_not_judged(row.samples_us) ? std::numeric_limits<double>::quiet_NaN() : fast_of(row.samples_us);
}

// A row of several processes while they are read one by one.
class JoinedRow {
 public:
  void add(Row row) {
    if (!row_ || row_->measured()) {
      const bool throttled = row.throttled || (row_ && row_->throttled);
      if (row.measured()) levels_.push_back(level_of(row));
      for (std::size_t i = 0; i < std::size(kNumbers); ++i) {
        if (const auto number = row.*kNumbers[i]) numbers_[i].push_back(*number);
      }
      row_ = std::move(row);
      row_->throttled = throttled;
    }
  }

  Row get() && {
    row_->samples_us = std::move(levels_);
    row_->of_processes = true;
    for (std::size_t i = 0; i < std::size(kNumbers); ++i) {
      if (!numbers_[i].empty()) (*row_).*kNumbers[i] = median_of(numbers_[i]);
    }
    return *std::move(row_);
  }

 private:
  static constexpr std::optional<double> Row::*kNumbers[] = {
      &Row::peak_bytes, &Row::rel_err, &Row::prepare_ms, &Row::speedup, &Row::sm_mhz_median};
  std::optional<Row> row_;  // of the last process, or of the first that did not measure it
  std::vector<double> levels_, numbers_[std::size(kNumbers)];
};

}  // namespace

std::vector<std::string> files_of_side(const std::string& side) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  std::error_code ignored;
  if (fs::is_directory(side, ignored)) {
    for (const auto& entry : fs::directory_iterator(side, ignored)) {
      if (entry.path().extension() == ".json") files.push_back(entry.path().string());
    }
    std::ranges::sort(files);
    if (files.empty()) throw UnusableInput(fmt::format("{}: has no reports (*.json)", side));
    return files;
  }
  if (fs::exists(side, ignored)) return {side};
  for (std::size_t begin = 0; begin <= side.size();) {
    const std::size_t end = std::min(side.find(',', begin), side.size());
    if (end > begin) files.push_back(side.substr(begin, end - begin));
    begin = end + 1;
  }
  if (files.empty()) throw UnusableInput("a report's name is empty");
  return files;
}

Report read_side(const std::string& side) {
  const std::vector<std::string> files = files_of_side(side);
  Report joined = read_report(files.front());
  if (files.size() == 1) return joined;
  std::unordered_map<std::string, JoinedRow> rows;
  for (const Row& row : joined.rows) rows[row.name].add(row);
  for (std::size_t i = 1; i < files.size(); ++i) {
    Report process = read_report(files[i]);
    check_same_run(joined, process);
    for (Row& row : process.rows) {
      const auto found = rows.find(row.name);
      if (found == rows.end())
        throw UnusableInput(fmt::format("{} and {} are not of one side: {} is in one only", joined.path,
                                        files[i], visible(row.name)));
      found->second.add(std::move(row));
    }
  }
  for (Row& row : joined.rows) row = std::move(rows.at(row.name)).get();
  if (joined.path = side; !std::filesystem::is_directory(side))
    joined.path = fmt::format("{} and {} more", files.front(), files.size() - 1);
  joined.processes = files.size();
  return joined;
}

}  // namespace lcnn::reports
