// Whether two reports were measured under the same conditions.
#pragma once

#include <string>
#include <vector>

#include "reports/report.h"

namespace lcnn::reports {

struct ContextDifference {
  std::string kind;  // device, driver, clocks, mode or precision: what --allow-different takes
  std::string text;  // "driver: 570.1 and 580.2"
};

inline constexpr const char* kContextKinds[] = {"device", "driver", "clocks", "mode", "precision"};

// What makes times incomparable. The clocks differ when the median over the rows that both have differs by
// more than 5%; of a precision, only rows of one name are looked at. Empty where the conditions are the same.
std::vector<ContextDifference> context_differences(const Report& base, const Report& now);

}  // namespace lcnn::reports
