#include "profiles/profile_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
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
constexpr std::size_t kShownOwners = 8;
constexpr double kSampledNs = 5e6;          // stalls are sampled for about as long
constexpr std::int64_t kMostSampledRuns = 2000;

OperatorTable sorted_table(const Profile& profile, const std::string& column) {
  OperatorTable table = tabulate(profile);
  sort_by(table, !column.empty() ? column : table.cuda_total_ns > 0 ? "cuda_total" : "cpu_total");
  return table;
}

// The innermost range around each device event from `first` on, by name; those of `around` are not inside the work.
std::vector<std::string> ranges_of_events(const Profile& profile, std::size_t first, const std::set<std::string>& around) {
  const Nesting nesting = nest(profile);
  const std::vector<std::size_t> launched_by = launching_calls(profile, nesting);
  std::vector<std::string> ranges;
  for (std::size_t i = first; i < profile.device.size(); ++i) {
    std::size_t span = launched_by[i];
    while (span != kNoParent && profile.host[span].kind != HostKind::range) span = nesting.outside(span);
    const std::string name = span == kNoParent ? "" : profile.names[profile.host[span].name];
    ranges.push_back(around.contains(name) ? "" : name);
  }
  return ranges;
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
  }
  CuptiSource cupti = make_cupti_source();
  if (!cupti.why_not.empty()) missing_.push_back(cupti.why_not);
  if (options_.counters) {  // last: while sampling is on, the others cannot be tried
    StallSamplerOrReason made = make_stall_sampler();
    if (!made.why_not.empty()) missing_.push_back(made.why_not);
    stalls_ = std::move(made.sampler);
  }
  if (cupti.source != nullptr) recorder_.add(std::make_unique<PausingSource>(std::move(cupti.source), stalls_));
}

void ProfileSession::write_after_crash(int signal) {
  if ((options_.table.empty() && options_.trace.empty()) || !recorder_.abandon()) return;
  missing_.push_back(fmt::format("the program crashed (signal {}): what ran last is missing", signal));
  write();
  fmt::print(stderr, "crashed (signal {}); the profile until then is in {}\n", signal,
             options_.trace.empty() ? options_.table : options_.trace);
}

void ProfileSession::sample_stalls(const std::string& name, std::int64_t runs, const std::function<void(std::int64_t)>& run) {
  Counted& counted = counted_[name];
  if (stalls_ == nullptr) return;
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

void ProfileSession::count(const std::string& name, std::int64_t runs, const std::function<void(std::int64_t)>& run) {
  Counted& counted = counted_[name];
  if (gpu_counters_ == nullptr) return;
  const SamplingPause pause(stalls_);
  try {
    counted.gpu = gpu_counters_
                      ->count(name,
                              [&] {
                                for (std::int64_t i = 0; i < runs; ++i) run(i);
                              })
                      .of_one(static_cast<double>(runs));
    record_kernels(name, counted, [&] { run(0); });
  } catch (const std::runtime_error& error) {
    missing_.push_back(fmt::format("GPU counters: off from {} on, {}", name, error.what()));
    gpu_counters_.reset();
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
  const std::vector<std::string> ranges = ranges_of_events(profile, before, {name, CountRange::message});
  std::vector<std::size_t> kernels;  // in the order of their launches
  for (std::size_t i = before; i < profile.device.size(); ++i) {
    if (profile.device[i].kind == DeviceKind::kernel) kernels.push_back(i);
  }
  std::ranges::stable_sort(kernels, {}, [&](std::size_t i) { return profile.device[i].correlation; });
  if (kernels.size() + kSpareKernels > RangeCounters::kMostKernels) {
    missing_.push_back(fmt::format("GPU counters kernel by kernel: left out, {} launches {} kernels", name, kernels.size()));
    return;
  }
  const std::vector<Counters> counters = gpu_counters_->count_kernels(kernels.size() + kSpareKernels, run);
  const bool named = counters.size() == kernels.size();
  for (std::size_t i = 0; i < counters.size(); ++i) {
    Counted::Kernel& kernel = counted.kernels.emplace_back(Counted::Kernel{.counters = counters[i]});
    if (!named) {
      kernel.name = fmt::format("launch {}", i + 1);
      continue;
    }
    const DeviceEvent& event = profile.device[kernels[i]];
    kernel.name = profile.names[event.name];
    kernel.range = ranges[kernels[i] - before];
    kernel.registers = event.registers;
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
  for (const auto& [name, found] : counted_) counted[name] = to_json(found);
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
  for (const auto& [name, counted] : counted_) text += to_text(name, counted);
  for (const std::string& line : missing_) text += line + "\n";
  if (!options_.table.empty()) text += fmt::format("table: {}\n", options_.table);
  if (!options_.trace.empty()) text += fmt::format("trace: {} (opens in ui.perfetto.dev)\n", options_.trace);
  return text;
}

}  // namespace lcnn::profiles
