#include "bench/profiling.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "bench/options.h"
#include "bench/report.h"
#include "profiles/cupti_source.h"
#include "profiles/operator_table.h"
#include "profiles/trace_writer.h"
#include "variants/operator_recorder.h"

namespace lcnn::bench {
namespace {

using json = nlohmann::ordered_json;

json counts_json(const profiles::CpuCounts& counts) {
  const auto number = [](const std::optional<double>& count) { return count ? json(*count) : json(nullptr); };
  return {{"cycles", number(counts.cycles)}, {"instructions", number(counts.instructions)},
          {"cache_misses", number(counts.cache_misses)}};
}

profiles::OperatorTable sorted_table(const profiles::Profile& profile, const std::string& column) {
  profiles::OperatorTable table = profiles::tabulate(profile);
  profiles::sort_by(table, !column.empty() ? column : table.cuda_total_ns > 0 ? "cuda_total" : "cpu_total");
  return table;
}

}  // namespace

Profiling::Profiling(const Options& options, Device device) : options_(options), device_(device) {
  require_writable("--profile", trace_path());
  require_writable("--profile", table_path());
  recorder_.add(make_operator_source());
  if (device_ == Device::cpu) return;
  profiles::CuptiSource cupti = profiles::make_cupti_source();
  why_no_cuda_records_ = cupti.why_not;
  if (cupti.source != nullptr) recorder_.add(std::move(cupti.source));
}

std::string Profiling::trace_path() const {
  return options_.profile + (options_.profile_gzip ? ".trace.json.gz" : ".trace.json");
}
std::string Profiling::table_path() const { return options_.profile + ".table.json"; }

double Profiling::sample(const std::string& row, Timer& timer) {
  if (device_ != Device::cpu || !counters_.why_not().empty()) return timer.sample();
  const profiles::CpuCounts before = counters_.counts();
  counters_.start();
  const double microseconds = timer.sample();
  counters_.stop();
  counted_[row] = counters_.counts().since(before, static_cast<double>(timer.runs_per_sample()));
  return microseconds;
}

void Profiling::write() const {
  const profiles::Profile& profile = recorder_.profile();
  profiles::write_trace(profile, trace_path(), {.gzip = options_.profile_gzip});
  json document = profiles::to_json(sorted_table(profile, options_.profile_sort));
  document["incomplete"] = why_incomplete().empty() ? json(nullptr) : json(why_incomplete());
  json counted = json::object();
  for (const auto& [row, counts] : counted_) counted[row] = counts_json(counts);
  document["cpu_counters_of_a_run"] = counted;
  replace_file("--profile=" + options_.profile, table_path(),
               document.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
}

std::string Profiling::text() const {
  const profiles::OperatorTable table = sorted_table(recorder_.profile(), options_.profile_sort);
  std::string text = fmt::format("\n{}", profiles::to_text(table, options_.profile_rows));
  if (!why_no_cuda_records_.empty()) text += why_no_cuda_records_ + "\n";
  if (device_ == Device::cpu && !counters_.why_not().empty()) text += counters_.why_not() + "\n";
  for (const auto& [row, counts] : counted_) text += fmt::format("{}: a run takes {}\n", row, profiles::to_text(counts));
  return text + fmt::format("table: {}\ntrace: {} (opens in ui.perfetto.dev)\n", table_path(), trace_path());
}

}  // namespace lcnn::bench
