#include <fmt/format.h>

#include "reports/escape.h"
#include "reports/write_comparison.h"

namespace lcnn::reports {

std::string console(const Comparison& comparison) {
  std::string out =
      fmt::format("{} {} -> {} {} on {}\n", visible(comparison.base_path), visible(comparison.base_commit),
                  visible(comparison.now_path), visible(comparison.now_commit), visible(comparison.device));
  for (const std::string& difference : comparison.differences)
    out += fmt::format("DIFFERENT {}\n", difference);
  std::size_t quiet = 0;
  for (const ComparedRow& row : comparison.rows) {
    const std::string said = describe(row);
    if (said.empty() && row.overall() == Verdict::same) {
      ++quiet;
      continue;
    }
    const bool worse = row.overall() == Verdict::worse;
    out += fmt::format("{:<8} {}\n         {}\n", worse ? "WORSE" : to_string(Metric::memory, row.overall()),
                       visible(row.name), said);
  }
  for (const std::string& name : comparison.added) out += fmt::format("added    {}\n", visible(name));
  for (const std::string& name : comparison.removed) out += fmt::format("removed  {}\n", visible(name));
  if (quiet > 0)
    out += fmt::format("same     {} row{} without anything to say\n", quiet, quiet == 1 ? "" : "s");
  return out + summary(comparison) + "\n";
}

}  // namespace lcnn::reports
