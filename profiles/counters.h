// What a GPU's hardware counters say about a range or a kernel.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>

namespace lcnn::profiles {

// Absent: the chip has no such counter. Percentages are of what the hardware can sustain, over the whole range.
struct Counters {
  std::optional<double> duration_ns;
  std::optional<double> dram_read_bytes, dram_write_bytes, dram_percent;
  std::optional<double> l2_bytes, l2_percent;
  std::optional<double> sm_active_percent;  // of the time that SMs had a warp
  std::optional<double> issue_percent;      // instructions of all SMs
  std::optional<double> fma_percent, tensor_percent, lsu_percent;  // of these units
  std::optional<double> occupancy_percent;  // warps in flight of those that an SM holds, while it is active
  std::optional<double> shared_wavefronts, shared_conflicts, shared_percent;  // of shared memory; conflicts are extra wavefronts

  std::optional<double> dram_bytes() const;
  // Of ranges that held several runs of the same work: counts of one run.
  Counters of_one(double runs) const;
};

// Of kernels that ran one after another, together: counts add up, percentages are weighted by duration. A counter that one of
// them lacks is absent.
Counters together(std::span<const Counters> kernels);

// One counter: its name for CUPTI (chips of compute capability 8.0 and up), for JSON, and where it is kept.
struct CounterMetric {
  const char* cupti_name;
  const char* name;
  std::optional<double> Counters::*value;
  bool adds_up;  // a count, not a percentage
};

// All counters. On Hopper one pass takes them all, so that the work need not be repeated.
std::span<const CounterMetric> counter_metrics();

// "12.3 us, DRAM 1.1 MB read 2.0 MB written (45%), L2 ..., SMs active 93%, ...": what there is, in one line.
std::string to_text(const Counters& counters);
// Every counter by its name, null where it is absent.
nlohmann::ordered_json to_json(const Counters& counters);

// "1.5 GB", in powers of ten
std::string bytes_text(double bytes);

}  // namespace lcnn::profiles
