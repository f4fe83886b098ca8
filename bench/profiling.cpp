#include "bench/profiling.h"

#include "variants/operator_recorder.h"

namespace lcnn::bench {
namespace {

double least_operations(const Row& row) {
  switch (row.computes) {
    case Computes::dense_weights: return row.operations.conv2d_multiplications;
    case Computes::pruned_2_4: return row.operations.conv2d_multiplications / 2;
    case Computes::lookups: break;
  }
  return row.operations.lookup_multiplications();
}

}  // namespace

Profiling::Profiling(const profiles::ProfileOptions& options, Device device)
    : device_(device), session_(options, device == Device::cuda) {
  session_.recorder().add(make_operator_source());
}

double Profiling::sample(const std::string& row, Timer& timer) {
  profiles::CpuCounters& counters = session_.cpu_counters();
  if (device_ != Device::cpu || !counters.why_not().empty()) return timer.sample();
  const profiles::CpuCounts before = counters.counts();
  counters.start();
  const double microseconds = timer.sample();
  counters.stop();
  session_.counted(row).cpu = counters.counts().since(before, static_cast<double>(timer.runs_per_sample()));
  return microseconds;
}

void Profiling::count(const Row& row, std::int64_t sets, const Run& run, void* stream) {
  profiles::Counted& counted = session_.counted(row.name);
  counted.least = {.read_bytes = static_cast<double>(row.memory->weights + row.memory->input),
                   .write_bytes = static_cast<double>(row.memory->output),
                   .operations = least_operations(row),
                   .time_ns = row.roofline->limit_us * 1e3,
                   .time_of = row.roofline->bound};
  counted.time_ns = row.profiled->unprofiled_median_us * 1e3;
  counted.overhead = row.profiled->overhead;
  const auto run_on = [&](std::int64_t set) { run(set, stream); };
  session_.sample_stalls(row.name, sets, run_on);
  session_.count(row.name, sets, run_on);
}

}  // namespace lcnn::bench
