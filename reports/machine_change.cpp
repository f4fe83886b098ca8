#include "reports/machine_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reports/ratio_interval.h"

namespace lcnn::reports {
namespace {

std::string measured_together(const Row& row) {
  return fmt::format("{}\n{}\n{}\n{}", row.set, row.layer, row.batch.value_or(0), row.precision);
}

}  // namespace

MachineChange::MachineChange(const Report& base, const Report& now) {
  for (const char* library : {"versions/libtorch", "device/cudnn"}) {
    if (base.field(library) != now.field(library)) return;
  }
  std::unordered_map<std::string_view, double> before;
  for (const Row& row : base.rows) {
    if (row.kind == "conv2d" && !row.samples_us.empty()) before.emplace(row.name, median_of(row.samples_us));
  }
  std::vector<const Row*> conv2d;
  for (const Row& row : now.rows) {
    const auto found = before.find(row.name);
    if (row.kind != "conv2d" || row.samples_us.empty() || found == before.end()) continue;
    const double ratio = median_of(row.samples_us) / found->second;
    if (!(ratio > 0 && std::isfinite(ratio))) continue;
    ratios_.emplace(row.name, ratio);
    sorted_ratios_[measured_together(row)].push_back(ratio);
    conv2d.push_back(&row);
  }
  for (auto& [group, ratios] : sorted_ratios_) std::ranges::sort(ratios);

  std::vector<double> distances;
  for (const Row* row : conv2d) {
    if (const auto others = beside(*row))
      distances.push_back(std::abs(std::log(ratios_.at(row->name) / *others)));
  }
  if (distances.size() < 4) return;
  std::ranges::sort(distances);
  constexpr double kNormalUpperQuarter = 1.1503;  // that a quarter exceeds, in standard deviations
  scatter_ = distances[distances.size() * 3 / 4] / kNormalUpperQuarter;
}

std::optional<double> MachineChange::beside(const Row& row) const {
  const auto group = sorted_ratios_.find(measured_together(row));
  if (group == sorted_ratios_.end()) return std::nullopt;
  const std::vector<double>& sorted = group->second;
  const auto own = ratios_.find(row.name);
  // The row's place among them, behind all where it is not one of them.
  const std::size_t left_out =
      own == ratios_.end() ? sorted.size() : std::ranges::lower_bound(sorted, own->second) - sorted.begin();
  const std::size_t others = sorted.size() - (own == ratios_.end() ? 0 : 1);
  if (others == 0) return std::nullopt;
  const auto other = [&](std::size_t i) { return sorted[i < left_out ? i : i + 1]; };
  return (other((others - 1) / 2) + other(others / 2)) / 2;
}

}  // namespace lcnn::reports
