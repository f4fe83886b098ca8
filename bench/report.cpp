#include "bench/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <thread>

#include "bench/build_info.h"
#include "bench/statistics.h"
#include "profiles/output_file.h"
#include "variants/runtime.h"

namespace lcnn::bench {
namespace {

using json = nlohmann::ordered_json;

// JSON has no NaN or infinity: null, never a made-up number.
json number(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

template <typename T>
json optional_number(const std::optional<T>& value) {
  return value ? number(static_cast<double>(*value)) : json(nullptr);
}

std::string_view kind_name(VariantKind kind) {
  switch (kind) {
    case VariantKind::lookup: return "lookup";
    case VariantKind::conv2d: return "conv2d";
    case VariantKind::peer: return "peer";
  }
  return "?";
}

std::string_view computes_name(Computes computes) {
  switch (computes) {
    case Computes::lookups: return "lookups";
    case Computes::dense_weights: return "dense_weights";
    case Computes::pruned_2_4: return "pruned_2_4";
  }
  return "?";
}

json network_json(const TrainingProblem& p) {
  return {{"batch", p.batch}, {"channels", p.channels}, {"height", p.height}, {"width", p.width}, {"classes", p.classes},
          {"parameters", p.parameters}, {"dictionary_sizes", p.dictionary_sizes}, {"stored_lookups", p.lookups}};
}

json problem_json(const Row& row) {
  if (row.training) return network_json(*row.training);
  const Conv2dProblem& conv = row.problem.conv;
  return {{"batch", conv.batch}, {"in_channels", conv.in_channels}, {"height", conv.height}, {"width", conv.width},
          {"out_channels", conv.out_channels}, {"kernel", conv.kernel}, {"stride", conv.stride},
          {"padding", conv.padding}, {"dilation", conv.dilation}, {"groups", conv.groups}, {"bias", conv.bias},
          {"granularity", to_string(row.problem.granularity)}, {"dictionary_size", row.problem.dictionary_size},
          {"sparsity", row.dictionary.sparsity}, {"stored_lookups", row.stored_lookups}};
}

json verification_json(const Verification& v) {
  return {{"rel_err", number(v.rel_err)}, {"tolerance", number(v.tolerance)}, {"tolerance_from", v.tolerance_from},
          {"non_finite", v.non_finite}};
}

json timing_json(const Timing& t) {
  return {{"median_us", t.median_us}, {"mad_us", t.mad_us}, {"relative_uncertainty", number(t.relative_uncertainty)},
          {"stable", t.stable}, {"runs_per_sample", t.runs_per_sample}, {"samples_us", t.samples_us}};
}

json clocks_json(const Clocks& c) {
  return {{"sm_mhz_min", optional_number(c.sm_mhz_min)}, {"sm_mhz_median", optional_number(c.sm_mhz_median)},
          {"throttled", c.throttled}, {"throttle_reasons", c.throttle_reasons}};
}

json memory_json(const Memory& m) {
  return {{"weights_bytes", m.weights}, {"input_bytes", m.input}, {"output_bytes", m.output},
          {"workspace_bytes", m.workspace}, {"prepared_bytes", m.prepared}, {"peak_bytes", m.peak()}};
}

json roofline_json(const Roofline& r) {
  return {{"limit_us", r.limit_us}, {"bound", r.bound}, {"share", r.share}};
}

json operations_json(const OperationCount& o) {
  return {{"conv2d_multiplications", o.conv2d_multiplications},
          {"dictionary_multiplications", o.dictionary_multiplications},
          {"lookups", o.lookups}, {"reduction", o.reduction()}};
}

std::string date_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  char text[64];
  std::strftime(text, sizeof text, "%FT%T%z", std::localtime(&now));
  std::string date = text;
  date.insert(date.end() - 2, ':');  // as Google Benchmark writes it
  return date;
}

json limits_json(const MachineLimits& limits) {
  const auto rate = [](double value) { return value > 0 ? json(value) : json(nullptr); };
  return {{"copy_bytes_per_s", rate(limits.copy_bytes_per_s)}, {"fp32_fma_per_s", rate(limits.fma_per_s)},
          {"tf32_mac_per_s", rate(limits.tf32_mac_per_s)}, {"fp16_mac_per_s", rate(limits.fp16_mac_per_s)},
          {"bf16_mac_per_s", rate(limits.bf16_mac_per_s)}};
}

// The rows of a group as Google Benchmark writes them: one entry a repetition.
void append_benchmarks(std::vector<std::string>& benchmarks, const Row& row, std::size_t family, int repetitions) {
  json entry{{"name", row.name}, {"family_index", family}, {"per_family_instance_index", 0}, {"run_name", row.name},
             {"run_type", "iteration"}, {"repetitions", repetitions}, {"repetition_index", 0}, {"threads", 1}};
  if (!row.measured()) {
    entry.update({{"error_occurred", true}, {"error_message", row.reason}, {"iterations", 0}, {"real_time", 0.0},
                  {"cpu_time", 0.0}, {"time_unit", "us"}});
    benchmarks.push_back(entry.dump());
    return;
  }
  const std::vector<double> times = repetition_times(row, repetitions);
  for (std::size_t i = 0; i < times.size(); ++i) {
    entry["repetition_index"] = i;
    entry.update({{"iterations", row.timing->runs_per_sample}, {"real_time", times[i]}, {"cpu_time", times[i]},
                  {"time_unit", "us"}, {"rel_err", row.verification->rel_err},
                  {"roofline", row.roofline ? json(row.roofline->share) : json(nullptr)},
                  {"peak_bytes", row.memory->peak()}});
    if (row.speedup) entry["speedup"] = *row.speedup;
    benchmarks.push_back(entry.dump());
  }
}

template <typename Values>
std::string lines(const Values& values) {
  return fmt::format("{}", fmt::join(values, ",\n"));
}

}  // namespace

json make_context(Session& session, const Options& options, const MachineLimits& limits) {
  json device{{"kind", to_string(session.device())}};
  for (const auto& [field, value] : session.describe()) device[field] = value;
  // Google Benchmark's fields; the host is named by what it computes with.
  return {{"date", date_now()},
          {"host_name", device["name"]},
          {"executable", "lcnn_bench"},
          {"num_cpus", std::thread::hardware_concurrency()},
          {"mhz_per_cpu", 0},
          {"cpu_scaling_enabled", false},
          {"caches", json::array()},
          {"load_avg", json::array()},
          {"library_build_type", "release"},
          {"json_schema_version", 1},
          {"lcnn_schema_version", kReportSchemaVersion},
          {"command_line", options.command_line},
          {"device", device},
          {"limits", limits_json(limits)},
          {"versions", {{"lcnn", build_info::kVersion}, {"libtorch", libtorch_version()}, {"cuda_toolkit", build_info::kCudaToolkit}}},
          {"build", {{"compiler", build_info::kCompiler}, {"flags", build_info::kFlags}, {"type", build_info::kBuildType},
                     {"cuda_architectures", build_info::kCudaArchitectures}}},
          {"git", {{"commit", build_info::kGitCommit}, {"dirty", build_info::kGitDirty}}},
          {"timing", {{"mode", to_string(options.mode)}, {"seed", options.seed}, {"threads", threads()},
                      {"repetitions", options.repetitions}}}};
}

json to_json(const Row& row) {
  json out{{"name", row.name},
           {"kind", kind_name(row.kind)},
           {"variant", row.variant},
           {"computes", row.training ? "training_step" : computes_name(row.computes)},
           {"device", to_string(row.device)},
           {"set", row.set},
           {"layer", row.layer},
           {"dictionary", row.dictionary.name},
           {"precision", to_string(row.precision)},
           {"layout", to_string(row.layout)},
           {"problem", problem_json(row)},
           {"disposition", to_string(row.disposition)},
           {"reason", row.measured() ? json(nullptr) : json(row.reason)},
           {"choice", row.choice.empty() ? json(nullptr) : json(row.choice)},
           {"prepare_ms", row.disposition == Disposition::unsupported ? json(nullptr) : number(row.prepare_ms)},
           {"verification", row.verification ? verification_json(*row.verification) : json(nullptr)},
           {"timing", row.timing ? timing_json(*row.timing) : json(nullptr)},
           {"clocks", row.clocks ? clocks_json(*row.clocks) : json(nullptr)},
           {"memory", row.memory ? memory_json(*row.memory) : json(nullptr)},
           {"roofline", row.roofline ? roofline_json(*row.roofline) : json(nullptr)},
           {"operations", row.training ? json(nullptr) : operations_json(row.operations)},
           {"baseline", row.baseline.empty() ? json(nullptr) : json(row.baseline)},
           {"speedup", optional_number(row.speedup)},
           {"memory_ratio", optional_number(row.memory_ratio)},
           {"memory_difference", row.memory_difference.empty() ? json(nullptr) : json(row.memory_difference)}};
  if (row.regret) out["regret"] = number(*row.regret);
  if (row.profiled) {
    out["profiled"] = {{"unprofiled_median_us", row.profiled->unprofiled_median_us}, {"overhead", number(row.profiled->overhead)}};
  }
  return out;
}

std::vector<double> repetition_times(const Row& row, int repetitions) {
  const std::vector<double>& samples = row.timing->samples_us;
  const std::size_t groups = std::min<std::size_t>(static_cast<std::size_t>(repetitions), samples.size());
  std::vector<double> times;
  for (std::size_t i = 0; i < groups; ++i) {
    const std::size_t first = i * samples.size() / groups, last = (i + 1) * samples.size() / groups;
    times.push_back(median(std::span(samples).subspan(first, last - first)));
  }
  return times;
}

void replace_file(const std::string& option, const std::string& path, const std::string& text) {
  const std::string aside = path + ".tmp";  // one name: what a killed run left behind is overwritten
  std::ofstream file(aside);
  file << text;
  file.close();
  if (!file) {
    std::filesystem::remove(aside);
    throw std::runtime_error(fmt::format("{}: cannot be written, is the disk full?", option));
  }
  std::filesystem::rename(aside, path);
}

void require_writable(std::string_view option, const std::string& path) {
  profiles::require_writable(path, fmt::format("{}={}", option, path));
}

Report::Report(std::string path, json context, int repetitions)
    : path_(std::move(path)), context_(std::move(context)), repetitions_(repetitions) {
  if (!path_.empty()) require_writable("--report", path_);
}

Report Report::resume(const std::string& path, json context, int repetitions) {
  Report report(path, std::move(context), repetitions);
  std::ifstream file(path);
  if (!file) return report;
  json before;
  try {
    before = json::parse(file);
  } catch (const json::exception&) {
    throw std::invalid_argument(fmt::format("{}: cannot be resumed, it is not JSON", path));
  }
  const auto is_row = [](const json& row) { return row.is_object() && row.contains("name") && row["name"].is_string(); };
  if (!before.is_object() || !before.contains("context") || !before.contains("rows") || !before.contains("benchmarks") ||
      !before["context"].is_object() || !before["rows"].is_array() || !before["benchmarks"].is_array() ||
      !std::ranges::all_of(before["rows"], is_row)) {
    throw std::invalid_argument(fmt::format("{}: cannot be resumed, it is not a report of lcnn_bench", path));
  }
  const auto differs = [&](const json::json_pointer& field) {
    return before["context"].value(field, json()) != report.context_.value(field, json());
  };
  for (const char* field : {"/lcnn_schema_version", "/device/name", "/timing/mode", "/timing/seed", "/timing/threads",
                            "/timing/repetitions", "/git/commit"}) {
    if (differs(json::json_pointer(field))) {
      throw std::invalid_argument(fmt::format("{}: cannot be resumed, {} is {} there and {} here", path, field + 1,
                                              before["context"].value(json::json_pointer(field), json()).dump(),
                                              report.context_.value(json::json_pointer(field), json()).dump()));
    }
  }
  for (const json& row : before["rows"]) {
    if (row.contains("profiled")) {
      throw std::invalid_argument(fmt::format("{}: cannot be resumed, its rows were measured under the profiler", path));
    }
    report.names_.push_back(row.at("name"));
    report.rows_.push_back(row.dump());
  }
  for (const json& benchmark : before["benchmarks"]) report.benchmarks_.push_back(benchmark.dump());
  return report;
}

std::vector<std::string> Report::finished() const { return names_; }

void Report::add(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    if (std::ranges::find(names_, row.name) != names_.end()) continue;  // a baseline that was measured before
    // Readers of Google Benchmark's entries do not know the mark of profiled rows.
    if (row.disposition != Disposition::unsupported && !row.profiled) append_benchmarks(benchmarks_, row, names_.size(), repetitions_);
    names_.push_back(row.name);
    rows_.push_back(to_json(row).dump());
  }
  if (!path_.empty()) write();
}

void Report::write() const {
  replace_file("--report=" + path_, path_,
               fmt::format("{{\n\"context\": {},\n\"benchmarks\": [\n{}\n],\n\"rows\": [\n{}\n]\n}}\n", context_.dump(2),
                           lines(benchmarks_), lines(rows_)));
}

}  // namespace lcnn::bench
