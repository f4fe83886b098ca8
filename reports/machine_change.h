// How much slower the machine itself was, by the library's Conv2d rows.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "reports/report.h"

namespace lcnn::reports {

// Conv2d is the library's code, and its samples alternate with those of the other rows of its layer, batch
// and precision: what changed in all of them is the machine (what else ran, its clock), not what was built.
class MachineChange {
 public:
  // Knows nothing where the reports tell of different libraries: there Conv2d may have changed.
  MachineChange(const Report& base, const Report& now);

  // The median ratio (now over base) of the median times of the Conv2d rows that alternate with `row`, itself
  // left out. Nothing where there are none.
  std::optional<double> beside(const Row& row) const;

  // How Conv2d rows, of unchanged code, scatter around beside() between the two processes: a standard
  // deviation of the ratio's logarithm, from the quantile that a quarter of the rows exceeds, so that a few
  // that did change do not decide. 0 with fewer than four rows.
  double scatter() const { return scatter_; }

 private:
  std::unordered_map<std::string, double> ratios_;  // of the Conv2d rows, by name
  std::unordered_map<std::string, std::vector<double>>
      sorted_ratios_;  // the same by layer, batch and precision
  double scatter_ = 0;
};

}  // namespace lcnn::reports
