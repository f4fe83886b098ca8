#include "reports/context_differences.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>
#include <unordered_map>

#include "reports/escape.h"
#include "reports/ratio_interval.h"

namespace lcnn::reports {
namespace {

constexpr double kMostClockDifference = 0.05;

struct Field {
  const char* kind;
  const char* path;
};

constexpr Field kOurs[] = {{"device", "device/kind"},
                           {"device", "device/name"},
                           {"device", "device/threads"},
                           {"driver", "device/driver"},
                           {"mode", "timing/mode"}};
// Google Benchmark does not name the processor. Its mhz_per_cpu is what the clock was at the start, no
// property.
constexpr Field kGoogleBenchmark[] = {
    {"device", "host_name"}, {"device", "num_cpus"}, {"mode", "library_build_type"}};

std::string shown(std::string_view value) { return value.empty() ? "(not told)" : visible(value); }

}  // namespace

std::vector<ContextDifference> context_differences(const Report& base, const Report& now) {
  std::vector<ContextDifference> differences;
  const auto compare = [&](const Field& field) {
    const std::string_view before = base.field(field.path), after = now.field(field.path);
    if (before == after) return;
    differences.push_back(
        {field.kind, fmt::format("{}: {} and {}", field.path, shown(before), shown(after))});
  };
  if (base.google_benchmark) {
    for (const Field& field : kGoogleBenchmark) compare(field);
  } else {
    for (const Field& field : kOurs) compare(field);
  }

  std::unordered_map<std::string_view, const Row*> of_base;
  for (const Row& row : base.rows) of_base.emplace(row.name, &row);
  std::vector<double> clocks_before, clocks_after;
  const Row* other_precision = nullptr;
  for (const Row& row : now.rows) {
    const auto found = of_base.find(row.name);
    if (found == of_base.end()) continue;
    if (row.sm_mhz_median && found->second->sm_mhz_median) {
      clocks_before.push_back(*found->second->sm_mhz_median);
      clocks_after.push_back(*row.sm_mhz_median);
    }
    if (row.precision != found->second->precision && other_precision == nullptr) other_precision = &row;
  }
  const double before = median_of(clocks_before), after = median_of(clocks_after);
  if (!clocks_before.empty() && !(std::abs(after - before) <= kMostClockDifference * before))
    differences.push_back({"clocks", fmt::format("median SM clock: {} and {} MHz", before, after)});
  if (other_precision != nullptr) {
    differences.push_back(
        {"precision",
         fmt::format("precision of {}: {} and {}", visible(other_precision->name),
                     shown(of_base[other_precision->name]->precision), shown(other_precision->precision))});
  }
  return differences;
}

}  // namespace lcnn::reports
