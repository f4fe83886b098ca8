// How much a metric may get worse before it is called so, for all rows and by the rows' names.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace lcnn::reports {

// A relative change (0.05: 5%) each, but for rel_err: a factor. Nothing: the metric informs, and never fails.
struct Limits {
  std::optional<double> time = 0.05;
  std::optional<double> memory = 0.01;  // of the peak
  std::optional<double> rel_err = 2.0;
  std::optional<double> prepare = 0.5;
  double prepare_at_least_ms = 100;  // a smaller change of prepare_ms is none
  std::optional<double> speedup;     // over the baseline: time says the same, with fewer rows involved
};

class Thresholds {
 public:
  // The defaults above.
  Thresholds() = default;

  // Of {"default": {"time": 0.1}, "rows": [{"name": "regex", "time": 0.2}]}; reports/README.md documents it.
  // Throws std::invalid_argument, one line, at an unknown field, a wrong value or a regular expression that
  // is none.
  static Thresholds parse(const nlohmann::json& document);

  // Those of a row: the default, then every entry of "rows" whose expression is found in the name, in their
  // order.
  Limits of(std::string_view row_name) const;

 private:
  struct Rule {
    std::regex name;
    nlohmann::json limits;
  };
  Limits default_;
  std::vector<Rule> rules_;
};

}  // namespace lcnn::reports
