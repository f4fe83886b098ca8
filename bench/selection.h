// Which of the planned rows are measured: those that a filter selects and a report does not have yet.
#pragma once

#include <algorithm>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lcnn::bench {

// Google Benchmark's filter: an extended regular expression that is searched for in a row's name, negated by a leading '-'.
class RowFilter {
 public:
  // Throws std::invalid_argument when it is not one.
  explicit RowFilter(std::string_view filter);
  bool selects(const std::string& name) const { return std::regex_search(name, expression_) != negated_; }
  // Whether it names such rows: those of training steps are measured for nobody who did not.
  bool asks_for(std::string_view word) const { return !negated_ && text_.find(word) != std::string::npos; }

 private:
  std::string text_;
  bool negated_;
  std::regex expression_;
};

// Removes the rows for which `keep` is false, except baselines; drops groups in which it keeps none: what is measured is always
// compared.
template <typename AnyGroup, typename Keep>
std::vector<AnyGroup> keep_rows(std::vector<AnyGroup> groups, const Keep& keep) {
  std::erase_if(groups, [&](AnyGroup& group) {
    if (std::ranges::none_of(group.rows, [&](const auto& row) { return keep(row.name); })) return true;
    std::erase_if(group.rows, [&](const auto& row) { return !row.is_baseline() && !keep(row.name); });
    return false;
  });
  return groups;
}

// Keeps the rows that the filter selects, and their baselines.
template <typename AnyGroup>
std::vector<AnyGroup> select(std::vector<AnyGroup> groups, const RowFilter& filter) {
  return keep_rows(std::move(groups), [&](const std::string& name) { return filter.selects(name); });
}

// Drops groups whose rows are all among `finished`; in the others keeps the baselines and the unfinished rows.
template <typename AnyGroup>
std::vector<AnyGroup> without_finished(std::vector<AnyGroup> groups, const std::vector<std::string>& finished) {
  const std::set<std::string> names(finished.begin(), finished.end());
  return keep_rows(std::move(groups), [&](const std::string& name) { return !names.contains(name); });
}

}  // namespace lcnn::bench
