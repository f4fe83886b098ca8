#include "profiles/profile_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "profiles/cupti_source.h"
#include "profiles/memory_timeline.h"
#include "profiles/nvtx_ranges.h"
#include "profiles/operator_table.h"
#include "profiles/output_file.h"
#include "profiles/trace_writer.h"

namespace lcnn::profiles {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t kSpareKernels = 16;   // a run may launch some more than the one before
constexpr std::size_t kShownKernels = 8, kShownReasons = 3, kShownOwners = 8;
constexpr double kSampledNs = 5e6;          // stalls are sampled for about as long
constexpr std::int64_t kMostSampledRuns = 2000;

OperatorTable sorted_table(const Profile& profile, const std::string& column) {
  OperatorTable table = tabulate(profile);
  sort_by(table, !column.empty() ? column : table.cuda_total_ns > 0 ? "cuda_total" : "cpu_total");
  return table;
}

json number(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

json counts_json(const CpuCounts& counts) {
  return {{"cycles", number(counts.cycles)}, {"instructions", number(counts.instructions)},
          {"cache_misses", number(counts.cache_misses)}};
}

bool any(const CpuCounts& counts) { return counts.cycles || counts.instructions || counts.cache_misses; }

json counted_json(const Counted& counted) {
  json kernels = json::array();
  for (const Counted::Kernel& kernel : counted.kernels) {
    kernels.push_back({{"kernel", kernel.name}, {"registers_per_thread", kernel.registers}, {"counters", to_json(kernel.counters)},
                       {"bound", to_string(bound_of(kernel.counters))}});
  }
  return {{"time_us", counted.time_ns / 1e3},
          {"overhead", counted.overhead},
          {"least", {{"read_bytes", counted.least.read_bytes}, {"write_bytes", counted.least.write_bytes},
                     {"operations", counted.least.operations}, {"time_us", counted.least.time_ns / 1e3}, {"time_of", counted.least.time_of}}},
          {"cpu", counts_json(counted.cpu)},
          {"gpu", to_json(counted.gpu)},
          {"bound", to_string(bound_of(counted.gpu))},
          {"kernels", kernels},
          {"stalls", to_json(counted.stalls)}};
}

std::string counted_text(const std::string& name, const Counted& counted) {
  std::string text = fmt::format("{}\n", name);
  if (counted.time_ns > 0) {
    text += fmt::format("  a run takes {:.1f} us, {:+.1f}% under the profiler", counted.time_ns / 1e3, 100 * counted.overhead);
    const std::string compared = time_comparison(counted.time_ns, counted.least);
    text += compared.empty() ? "\n" : fmt::format("; {}\n", compared);
    if (const std::string work = work_text(counted.time_ns, counted.least); !work.empty()) text += fmt::format("  {}\n", work);
  }
  if (any(counted.cpu)) text += fmt::format("  a run takes {}\n", to_text(counted.cpu));
  if (bound_of(counted.gpu) == Bound::unknown) return text;
  text += fmt::format("  {}\n  {}\n", diagnosis(counted.gpu, counted.least), to_text(counted.gpu));
  std::vector<const Counted::Kernel*> longest;
  for (const Counted::Kernel& kernel : counted.kernels) longest.push_back(&kernel);
  std::ranges::stable_sort(longest, std::greater{}, [](const Counted::Kernel* kernel) { return kernel->counters.duration_ns.value_or(0); });
  for (std::size_t i = 0; i < std::min(kShownKernels, longest.size()); ++i) {
    const Counted::Kernel& kernel = *longest[i];
    text += fmt::format("  kernel {}\n    {}\n    {}", kernel.name, diagnosis(kernel.counters, {}), to_text(kernel.counters));
    text += kernel.registers > 0 ? fmt::format(", {} registers a thread\n", kernel.registers) : "\n";
    const auto stalls = std::ranges::find(counted.stalls.kernels, kernel.name, &KernelStalls::kernel);
    if (stalls != counted.stalls.kernels.end()) text += fmt::format("    waits for: {}\n", to_text(*stalls, kShownReasons));
  }
  if (counted.stalls.dropped > 0) text += fmt::format("  {} samples of stalls were dropped by the hardware\n", counted.stalls.dropped);
  if (longest.size() > kShownKernels) text += fmt::format("  ({} more kernels)\n", longest.size() - kShownKernels);
  return text;
}

}  // namespace

ProfileSession::ProfileSession(const ProfileOptions& options, bool cuda)
    : options_(options), cuda_(cuda), crash_writer_([this](int signal) { write_after_crash(signal); }) {
  for (const std::string& path : {options_.trace, options_.table}) {
    if (!path.empty()) require_writable(path, path);
  }
  if (!cuda_) {
    if (!cpu_counters_.why_not().empty()) missing_.push_back(cpu_counters_.why_not());
    if (options_.counters) missing_.push_back("GPU counters: off, this runs on the CPU");
    return;
  }
  if (options_.counters) {
    RangeCountersOrReason made = make_range_counters();
    if (!made.why_not.empty()) missing_.push_back(made.why_not);
    gpu_counters_ = std::move(made.counters);
    if (gpu_counters_ != nullptr && !gpu_counters_->missing().empty()) {
      missing_.push_back(fmt::format("GPU counters that this chip does not have: {}", fmt::join(gpu_counters_->missing(), ", ")));
    }
    StallSamplerOrReason sampler = make_stall_sampler();
    if (!sampler.why_not.empty()) missing_.push_back(sampler.why_not);
    stalls_ = std::move(sampler.sampler);
  }
  CuptiSource cupti = make_cupti_source();
  if (!cupti.why_not.empty()) missing_.push_back(cupti.why_not);
  if (cupti.source != nullptr) recorder_.add(std::move(cupti.source));
}

void ProfileSession::write_after_crash(int signal) {
  if ((options_.table.empty() && options_.trace.empty()) || !recorder_.abandon()) return;
  missing_.push_back(fmt::format("the program crashed (signal {}): what ran last is missing", signal));
  write();
  fmt::print(stderr, "crashed (signal {}); the profile until then is in {}\n", signal,
             options_.trace.empty() ? options_.table : options_.trace);
}

void ProfileSession::count(const std::string& name, std::int64_t runs, const std::function<void(std::int64_t)>& run) {
  Counted& counted = counted_[name];
  const auto all = [&] {
    for (std::int64_t i = 0; i < runs; ++i) run(i);
  };
  const auto one = [&] { run(0); };
  if (gpu_counters_ != nullptr) {
    try {
      counted.gpu = gpu_counters_->count(name, all).of_one(static_cast<double>(runs));
      record_kernels(name, counted, one);
    } catch (const std::runtime_error& error) {
      missing_.push_back(fmt::format("GPU counters: off from {} on, {}", name, error.what()));
      gpu_counters_.reset();
    }
  }
  if (stalls_ != nullptr) {
    const double time_ns = std::max(counted.time_ns, 1e3);
    const auto rounds = std::clamp<std::int64_t>(static_cast<std::int64_t>(kSampledNs / time_ns), 1, kMostSampledRuns);
    try {
      counted.stalls = stalls_->sample([&] {
        for (std::int64_t i = 0; i < rounds; ++i) run(i % runs);
      });
    } catch (const std::runtime_error& error) {
      missing_.push_back(fmt::format("stall reasons: off from {} on, {}", name, error.what()));
      stalls_.reset();
    }
  }
}

// The counters come in the order of launches and without names: these are recorded in a run before.
void ProfileSession::record_kernels(const std::string& name, Counted& counted, const std::function<void()>& run) {
  const std::size_t before = recorder_.profile().device.size();
  {
    const Recording recording(&recorder_);
    const Range range(name.c_str()), phase = Range::of<CountRange>();
    run();
  }
  const Profile& profile = recorder_.profile();
  std::vector<DeviceEvent> kernels(profile.device.begin() + static_cast<std::ptrdiff_t>(before), profile.device.end());
  std::erase_if(kernels, [](const DeviceEvent& event) { return event.kind != DeviceKind::kernel; });
  std::ranges::stable_sort(kernels, {}, &DeviceEvent::correlation);
  if (kernels.size() + kSpareKernels > RangeCounters::kMostKernels) {
    missing_.push_back(fmt::format("GPU counters kernel by kernel: left out, {} launches {} kernels", name, kernels.size()));
    return;
  }
  const std::vector<Counters> counters = gpu_counters_->count_kernels(kernels.size() + kSpareKernels, run);
  const bool named = counters.size() == kernels.size();
  for (std::size_t i = 0; i < counters.size(); ++i) {
    counted.kernels.push_back({.name = named ? profile.names[kernels[i].name] : fmt::format("launch {}", i + 1),
                               .registers = named ? kernels[i].registers : 0,
                               .counters = counters[i]});
  }
}

std::string ProfileSession::why_incomplete() const { return missing_records(recorder_.profile()); }

void ProfileSession::write() const {
  const Profile& profile = recorder_.profile();
  if (!options_.trace.empty()) write_trace(profile, options_.trace, {.gzip = options_.gzip});
  if (options_.table.empty()) return;
  json document = to_json(sorted_table(profile, options_.sort));
  document["incomplete"] = why_incomplete().empty() ? json(nullptr) : json(why_incomplete());
  document["missing"] = missing_;
  document["memory"] = to_json(memory_peaks(profile));
  json counted = json::object();
  for (const auto& [name, found] : counted_) counted[name] = counted_json(found);
  document["counted"] = counted;
  OutputFile file(options_.table, /*gzip=*/false);
  file.write(document.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  file.finish();
}

std::string ProfileSession::text() const {
  const Profile& profile = recorder_.profile();
  std::string text = fmt::format("\n{}", to_text(sorted_table(profile, options_.sort), options_.rows));
  const std::string memory = to_text(memory_peaks(profile), kShownOwners);
  if (!memory.empty()) text += fmt::format("\n{}", memory);
  if (!counted_.empty()) text += "\n";
  for (const auto& [name, counted] : counted_) text += counted_text(name, counted);
  for (const std::string& line : missing_) text += line + "\n";
  if (!options_.table.empty()) text += fmt::format("table: {}\n", options_.table);
  if (!options_.trace.empty()) text += fmt::format("trace: {} (opens in ui.perfetto.dev)\n", options_.trace);
  return text;
}

}  // namespace lcnn::profiles
