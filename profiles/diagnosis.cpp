#include "profiles/diagnosis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace lcnn::profiles {
namespace {

constexpr double kBusy = 60;            // percent: Nsight Compute's threshold, too
constexpr double kIdleSms = 60;         // SMs that have a warp for less than this share of the time
constexpr double kFewWarps = 25;        // occupancy below which latency cannot be hidden
constexpr double kManyConflicts = 0.2;  // of the wavefronts of shared memory
constexpr double kMuchMore = 1.2;       // times the fewest bytes

struct Unit {
  Bound bound;
  std::optional<double> Counters::*busy;
  const char* text;
};
constexpr std::array<Unit, 7> kUnits{{
    {Bound::memory, &Counters::dram_percent, "memory-bound: DRAM is busy {:.0f}% of the time"},
    {Bound::l2, &Counters::l2_percent, "L2-bound: the L2 cache is busy {:.0f}% of the time"},
    {Bound::shared_memory, &Counters::shared_percent, "shared-memory-bound: shared memory is busy {:.0f}% of the time"},
    {Bound::tensor_cores, &Counters::tensor_percent, "tensor-bound: tensor cores are busy {:.0f}% of the time"},
    {Bound::arithmetic, &Counters::fma_percent, "arithmetic-bound: FMA units are busy {:.0f}% of the time"},
    {Bound::shared_memory, &Counters::lsu_percent, "load-store-bound: load-store units are busy {:.0f}% of the time"},
    {Bound::issue, &Counters::issue_percent, "issue-bound: instructions are issued in {:.0f}% of the slots"},
}};

// Nullptr where no unit is busy, or none is counted.
const Unit* busiest(const Counters& counters) {
  const Unit* most = nullptr;
  for (const Unit& unit : kUnits) {
    const auto& busy = counters.*unit.busy;
    if (busy && *busy >= kBusy && (most == nullptr || *busy > *(counters.*most->busy))) most = &unit;
  }
  return most;
}

bool any_unit(const Counters& counters) {
  return std::ranges::any_of(kUnits, [&](const Unit& unit) { return (counters.*unit.busy).has_value(); });
}

std::string bound_text(const Counters& counters, Bound bound) {
  switch (bound) {
    case Bound::unknown: return "no counters";
    case Bound::idle_sms:
      return fmt::format("the device is not filled: SMs are active {:.0f}% of the time", *counters.sm_active_percent);
    case Bound::few_warps:
      return fmt::format("latency-bound by low occupancy: {:.0f}% of the warps that an SM holds are in flight", *counters.occupancy_percent);
    case Bound::latency: return fmt::format("latency-bound: no unit is busy {:.0f}% of the time", kBusy);
    default: {
      const Unit& unit = *busiest(counters);
      return fmt::format(fmt::runtime(unit.text), *(counters.*unit.busy));
    }
  }
}

}  // namespace

const char* to_string(Bound bound) {
  switch (bound) {
    case Bound::memory: return "memory";
    case Bound::l2: return "l2";
    case Bound::shared_memory: return "shared_memory";
    case Bound::tensor_cores: return "tensor_cores";
    case Bound::arithmetic: return "arithmetic";
    case Bound::issue: return "issue";
    case Bound::few_warps: return "few_warps";
    case Bound::idle_sms: return "idle_sms";
    case Bound::latency: return "latency";
    case Bound::unknown: return "unknown";
  }
  return "?";
}

Bound bound_of(const Counters& counters) {
  if (!any_unit(counters)) return Bound::unknown;
  if (const Unit* unit = busiest(counters)) return unit->bound;
  if (counters.sm_active_percent && *counters.sm_active_percent < kIdleSms) return Bound::idle_sms;
  if (counters.occupancy_percent && *counters.occupancy_percent < kFewWarps) return Bound::few_warps;
  return Bound::latency;
}

std::string work_text(double time_ns, const LeastWork& least) {
  std::vector<std::string> parts;
  if (least.read_bytes > 0) parts.push_back("to read " + bytes_text(least.read_bytes));
  if (least.write_bytes > 0) parts.push_back("to write " + bytes_text(least.write_bytes));
  if (least.operations > 0) {
    parts.push_back(fmt::format("{:.2g} operations: {:.2g} a second", least.operations, least.operations / time_ns * 1e9));
  }
  return parts.empty() ? "" : fmt::format("needs {}", fmt::join(parts, ", "));
}

std::string time_comparison(double time_ns, const LeastWork& least) {
  if (!(least.time_ns > 0)) return "";
  return fmt::format("{:.1f}x the time that the fewest {} need ({:.1f} us)", time_ns / least.time_ns, least.time_of, least.time_ns / 1e3);
}

std::string byte_comparison(const Counters& counters, const LeastWork& least) {
  std::vector<std::string> parts;
  if (counters.dram_read_bytes && least.read_bytes > 0) {
    parts.push_back(fmt::format("reads {:.1f}x", *counters.dram_read_bytes / least.read_bytes));
  }
  if (counters.dram_write_bytes && least.write_bytes > 0) {
    parts.push_back(fmt::format("writes {:.1f}x", *counters.dram_write_bytes / least.write_bytes));
  }
  return parts.empty() ? "" : fmt::format("{} the fewest bytes", fmt::join(parts, " and "));
}

std::string diagnosis(const Counters& counters, const LeastWork& least) {
  const Bound bound = bound_of(counters);
  std::string text = bound_text(counters, bound);
  const std::string bytes = byte_comparison(counters, least);
  if (!bytes.empty()) text += "; " + bytes;
  const bool reads_more = counters.dram_read_bytes && least.read_bytes > 0 && *counters.dram_read_bytes > kMuchMore * least.read_bytes;
  if (bound == Bound::memory && reads_more) text += ", so something is read again or written in between";
  if (counters.shared_conflicts && counters.shared_wavefronts && *counters.shared_wavefronts > 0) {
    const double share = *counters.shared_conflicts / *counters.shared_wavefronts;
    if (share >= kManyConflicts) text += fmt::format("; {:.0f}% of shared memory's wavefronts are bank conflicts", 100 * share);
  }
  return text;
}

}  // namespace lcnn::profiles
