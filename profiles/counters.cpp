#include "profiles/counters.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

namespace lcnn::profiles {
namespace {

constexpr std::array<CounterMetric, 15> kMetrics{{
    {"gpu__time_duration.sum", "duration_ns", &Counters::duration_ns, true},
    {"dram__bytes_read.sum", "dram_read_bytes", &Counters::dram_read_bytes, true},
    {"dram__bytes_write.sum", "dram_write_bytes", &Counters::dram_write_bytes, true},
    {"dram__throughput.avg.pct_of_peak_sustained_elapsed", "dram_percent", &Counters::dram_percent, false},
    {"lts__t_bytes.sum", "l2_bytes", &Counters::l2_bytes, true},
    {"lts__t_bytes.avg.pct_of_peak_sustained_elapsed", "l2_percent", &Counters::l2_percent, false},
    {"sm__cycles_active.avg.pct_of_peak_sustained_elapsed", "sm_active_percent", &Counters::sm_active_percent, false},
    {"sm__inst_executed.avg.pct_of_peak_sustained_elapsed", "issue_percent", &Counters::issue_percent, false},
    {"sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_elapsed", "fma_percent", &Counters::fma_percent, false},
    {"sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed", "tensor_percent", &Counters::tensor_percent, false},
    {"sm__inst_executed_pipe_lsu.avg.pct_of_peak_sustained_elapsed", "lsu_percent", &Counters::lsu_percent, false},
    {"sm__warps_active.avg.pct_of_peak_sustained_active", "occupancy_percent", &Counters::occupancy_percent, false},
    {"l1tex__data_pipe_lsu_wavefronts_mem_shared.sum", "shared_wavefronts", &Counters::shared_wavefronts, true},
    {"l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum", "shared_conflicts", &Counters::shared_conflicts, true},
    {"l1tex__data_pipe_lsu_wavefronts_mem_shared.avg.pct_of_peak_sustained_elapsed", "shared_percent", &Counters::shared_percent, false},
}};

}  // namespace

std::span<const CounterMetric> counter_metrics() { return kMetrics; }

std::optional<double> Counters::dram_bytes() const {
  return dram_read_bytes && dram_write_bytes ? std::optional(*dram_read_bytes + *dram_write_bytes) : std::nullopt;
}

Counters Counters::of_one(double runs) const {
  Counters one = *this;
  for (const CounterMetric& metric : kMetrics) {
    auto& value = one.*metric.value;
    if (metric.adds_up && value) value = *value / runs;
  }
  return one;
}

Counters together(std::span<const Counters> kernels) {
  Counters sum;
  for (const CounterMetric& metric : kMetrics) {
    double value = 0, duration_ns = 0;
    bool all = !kernels.empty();
    for (const Counters& kernel : kernels) {
      const auto& one = kernel.*metric.value;
      all = all && one && (metric.adds_up || kernel.duration_ns);
      if (!all) break;
      value += metric.adds_up ? *one : *one * *kernel.duration_ns;
      duration_ns += kernel.duration_ns.value_or(0);
    }
    if (all && metric.adds_up) sum.*metric.value = value;
    if (all && !metric.adds_up && duration_ns > 0) sum.*metric.value = value / duration_ns;
  }
  return sum;
}

std::string bytes_text(double bytes) {
  const char* unit = "B";
  for (const char* larger : {"kB", "MB", "GB", "TB"}) {
    if (bytes < 1000) break;
    bytes /= 1000;
    unit = larger;
  }
  return *unit == 'B' ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.3g} {}", bytes, unit);
}

std::string to_text(const Counters& counters) {
  std::vector<std::string> parts;
  const auto percent = [&](const char* what, const std::optional<double>& value) {
    if (value) parts.push_back(fmt::format("{} {:.0f}%", what, *value));
  };
  if (counters.duration_ns) parts.push_back(fmt::format("{:.1f} us", *counters.duration_ns / 1e3));
  if (counters.dram_read_bytes) parts.push_back("DRAM read " + bytes_text(*counters.dram_read_bytes));
  if (counters.dram_write_bytes) parts.push_back("DRAM written " + bytes_text(*counters.dram_write_bytes));
  percent("DRAM busy", counters.dram_percent);
  if (counters.l2_bytes) parts.push_back("L2 " + bytes_text(*counters.l2_bytes));
  percent("L2 busy", counters.l2_percent);
  percent("SMs active", counters.sm_active_percent);
  percent("issue slots", counters.issue_percent);
  percent("FMA", counters.fma_percent);
  percent("tensor cores", counters.tensor_percent);
  percent("LSU", counters.lsu_percent);
  percent("occupancy", counters.occupancy_percent);
  percent("shared memory", counters.shared_percent);
  if (counters.shared_conflicts && counters.shared_wavefronts) {
    parts.push_back(fmt::format("bank conflicts {:.3g} of {:.3g} wavefronts", *counters.shared_conflicts, *counters.shared_wavefronts));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

nlohmann::ordered_json to_json(const Counters& counters) {
  nlohmann::ordered_json json;
  for (const CounterMetric& metric : kMetrics) {
    const auto& value = counters.*metric.value;
    json[metric.name] = value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
  }
  return json;
}

}  // namespace lcnn::profiles
