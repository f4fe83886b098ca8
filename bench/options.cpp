#include "bench/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <stdexcept>

#include "profiles/operator_table.h"

namespace lcnn::bench {
namespace {

const std::map<std::string, Precision> kPrecisions{
    {"fp32", Precision::fp32}, {"tf32", Precision::tf32}, {"fp16", Precision::fp16}, {"bf16", Precision::bf16}};
const std::map<std::string, Layout> kLayouts{{"nchw", Layout::nchw}, {"nhwc", Layout::nhwc}};
const std::map<std::string, Device> kDevices{{"cpu", Device::cpu}, {"cuda", Device::cuda}};
const std::map<std::string, TimingMode> kModes{
    {"rotated", TimingMode::rotated}, {"hot", TimingMode::hot}, {"cold", TimingMode::cold}};

template <typename T>
T named(const std::map<std::string, T>& values, const char* option, const std::string& given) {
  const auto found = values.find(given);
  if (found != values.end()) return found->second;
  std::vector<std::string> accepted;
  for (const auto& [name, value] : values) accepted.push_back(name);
  throw std::invalid_argument(fmt::format("--{}={}: {} are accepted", option, given, fmt::join(accepted, ", ")));
}

std::string file_name(std::string_view path) { return std::string(path.substr(path.find_last_of('/') + 1)); }

// Reports are read elsewhere: of a path, the file's name says enough. A filter keeps its slashes.
std::string without_folder(const std::string& argument) {
  if (argument.starts_with("--benchmark_filter=")) return argument;
  const std::size_t value = argument.find('=') + 1;  // 0 without '='
  std::string shown = argument.substr(0, value);
  for (const std::string& path : CLI::detail::split(argument.substr(value), ',')) {
    shown += (shown.size() > value ? "," : "") + file_name(path);
  }
  return shown;
}

// A number that counts something, at least `least`.
template <typename T>
T whole_number(const char* option, const std::string& given, T least) {
  T value{};
  const char* const last = given.data() + given.size();
  const auto [end, error] = std::from_chars(given.data(), last, value);
  if (error != std::errc{} || end != last || value < least) {
    throw std::invalid_argument(fmt::format("--{}={}: a whole number from {} is accepted", option, given, least));
  }
  return value;
}

// "--benchmark_repetitions=3" -> "3" for name "repetitions"; a bare flag gives "true".
std::optional<std::string> benchmark_flag(const std::vector<std::string>& arguments, const std::string& name) {
  const std::string prefix = "--benchmark_" + name;
  std::optional<std::string> value;
  for (const std::string& argument : arguments) {
    if (argument == prefix) value = "true";
    if (argument.starts_with(prefix + "=")) value = argument.substr(prefix.size() + 1);
  }
  return value;
}

double number_of(const std::string& flag, std::string text) {
  if (text.ends_with('s')) text.pop_back();  // 1.8 writes seconds as 0.5s
  std::size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (text.empty() || used != text.size() || !(value >= 0) || value > 1e6) {
    throw std::invalid_argument(fmt::format("--benchmark_{}={}: a number is accepted", flag, text));
  }
  return value;
}

std::string format_of(const std::string& flag, const std::string& text) {
  if (text == "console" || text == "json" || text == "csv") return text;
  throw std::invalid_argument(fmt::format("--benchmark_{}={}: console, json or csv are accepted", flag, text));
}

// As Google Benchmark reads flags: all but a few words mean yes.
bool is_yes(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char letter) { return std::tolower(letter); });
  return text != "false" && text != "f" && text != "no" && text != "n" && text != "off" && text != "0";
}

void read_benchmark_flags(Options& options) {
  const auto& arguments = options.benchmark_arguments;
  options.filter = benchmark_flag(arguments, "filter").value_or(".");
  if (options.filter.empty() || options.filter == "all") options.filter = ".";
  options.list_tests = is_yes(benchmark_flag(arguments, "list_tests").value_or("no"));
  options.format = format_of("format", benchmark_flag(arguments, "format").value_or(options.format));
  options.out = benchmark_flag(arguments, "out").value_or("");
  options.out_format = format_of("out_format", benchmark_flag(arguments, "out_format").value_or(options.out_format));
  if (const auto text = benchmark_flag(arguments, "min_time")) options.min_seconds = number_of("min_time", *text);
  if (const auto text = benchmark_flag(arguments, "repetitions")) {
    options.repetitions = std::max(1, static_cast<int>(number_of("repetitions", *text)));
  }
}

// The files of a profile are named after one name.
profiles::ProfileOptions profile_options(const std::string& name, bool gzip, bool counters, const std::string& sort, const std::string& rows) {
  profiles::ProfileOptions profile{.table = name + ".table.json", .trace = name + (gzip ? ".trace.json.gz" : ".trace.json"), .gzip = gzip,
                                   .sort = sort, .counters = counters};
  if (!rows.empty()) profile.rows = whole_number<std::size_t>("profile-rows", rows, 1);
  const std::vector<std::string>& columns = profiles::sort_columns();
  if (!sort.empty() && std::ranges::find(columns, sort) == columns.end()) {
    throw std::invalid_argument(fmt::format("--profile-sort={}: {} are accepted", sort, fmt::join(columns, ", ")));
  }
  return profile;
}

constexpr const char* kFooter = R"(
Google Benchmark's own flags are accepted too, among them:
  --benchmark_filter=REGEX      rows to measure; the Conv2d baselines of their layers are always measured with them
  --benchmark_list_tests        the rows' names, nothing measured
  --benchmark_repetitions=N     repetitions that each row's samples are reported as (9)
  --benchmark_min_time=SECONDS  least sampling time of a row
  --benchmark_out=FILE, --benchmark_format=console|json|csv

Environment: LCNN_CACHE_DIR is where compiled kernels and the tuning cache lie (~/.cache/lcnn); with --tune, LCNN_TUNING_LOG
names a file to which every candidate's time is appended.

A filter that names Train rows measures steps of training (forward, backward, update) in place of layers: networks at batch 32, with
Conv2d and with LookupConv2d by each training method. --workload=NETWORK, --dictionary, --batch and --precision choose among them;
fp16 and bf16 are mixed precision by autocast, fp16 with loss scaling.

Row names: Train/<conv2d|pooled|fixed>/<network>/[<dictionary>/]n<batch>/<precision>[/nhwc],
Lookup/<variant>/<set>/<layer>/<dictionary>/n<batch>/<precision>[/nhwc], Conv2d/<library>/..., Peer/<name>/...
Exit codes: 0 all rows are right, 1 a row failed, 2 the input cannot be used, 130 interrupted.)";

}  // namespace

std::string_view to_string(TimingMode mode) {
  switch (mode) {
    case TimingMode::rotated: return "rotated";
    case TimingMode::hot: return "hot";
    case TimingMode::cold: return "cold";
  }
  return "?";
}

void require_profilable(const Options& options) {
  if (options.resume) throw std::invalid_argument("--profile and --resume: profiled rows continue no report");
  if (!options.out.empty() || options.format != "console") {
    throw std::invalid_argument("--profile: profiled rows are not for --benchmark_out or --benchmark_format, --report takes them");
  }
}

Options parse_options(int argc, const char* const* argv) {
  Options options;
  std::vector<std::string> batches, precisions, layouts;
  std::string device, threads, timing, seed, profile, profile_sort, profile_rows;
  bool profile_gzip = false, profile_counters = false;
  CLI::App app{"Measures LookupConv2d against Conv2d, each row verified against a float64 reference before it is timed.",
               "lcnn_bench"};
  app.footer(kFooter);
  app.allow_extras();
  app.add_option("--workload", options.workloads,
                 fmt::format("{}, or JSON files of layers", fmt::join(workload_names(), ", ")))->delimiter(',');
  app.add_option("--dictionary", options.dictionaries,
                 "fast, accurate, or SIZE:SPARSITY (such as 16:1.5); the layers' own, fast only, by default")->delimiter(',');
  app.add_option("--batch", batches, "batch sizes, in place of the workload's")->delimiter(',')->type_name("INT");
  app.add_option("--precision", precisions, "fp32, tf32, fp16, bf16")->delimiter(',');
  app.add_option("--layout", layouts, "nchw, nhwc")->delimiter(',');
  app.add_option("--device", device, "cpu or cuda; cuda where it can be used by default");
  app.add_option("--threads", threads, "threads on the CPU; all cores by default")->type_name("INT");
  app.add_flag("--full", options.full, "every dictionary and batch of the workload");
  app.add_flag("--tune", options.tune, "measure the choices of LookupConv2d variants, too, and keep the fastest in the tuning cache");
  app.add_option("--timing", timing, "rotated (default), hot, cold: what the caches hold before a run");
  app.add_option("--seed", seed, "seed of weights, lookups and inputs")->type_name("INT");
  app.add_option("--report", options.report, "JSON report to write, row by row");
  app.add_flag("--resume", options.resume, "continue the report: its finished rows are not measured again");
  app.add_option("--profile", profile,
                 "measure the rows under the profiler: prints a table, writes NAME.table.json and NAME.trace.json "
                 "(for ui.perfetto.dev)")
      ->type_name("NAME");
  app.add_option("--profile-sort", profile_sort, fmt::format("{}", fmt::join(profiles::sort_columns(), ", ")));
  app.add_option("--profile-rows", profile_rows, "lines of the table to print (40)")->type_name("INT");
  app.add_flag("--profile-gzip", profile_gzip, "write NAME.trace.json.gz instead");
  app.add_flag("--profile-counters", profile_counters, "take the GPU's hardware counters and stall reasons of each row, too");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    throw HelpRequested{app.help()};
  } catch (const CLI::ParseError& error) {
    std::string message = error.what();
    throw std::invalid_argument(message.substr(0, message.find('\n')));
  }
  for (const std::string& argument : app.remaining()) {
    if (!argument.starts_with("--benchmark_") && !argument.starts_with("--v=")) {
      throw std::invalid_argument(fmt::format("{}: unknown option; --help lists what is accepted", argument));
    }
    options.benchmark_arguments.push_back(argument);
  }

  if (!precisions.empty()) options.precisions.clear();
  for (const std::string& name : precisions) options.precisions.push_back(named(kPrecisions, "precision", name));
  if (!layouts.empty()) options.layouts.clear();
  for (const std::string& name : layouts) options.layouts.push_back(named(kLayouts, "layout", name));
  if (!device.empty()) options.device = named(kDevices, "device", device);
  if (!timing.empty()) options.mode = named(kModes, "timing", timing);
  for (const std::string& batch : batches) options.batches.push_back(whole_number<std::int64_t>("batch", batch, 1));
  if (!threads.empty()) options.threads = whole_number("threads", threads, 1);
  if (!seed.empty()) options.seed = whole_number<std::uint64_t>("seed", seed, 0);
  if (options.resume && options.report.empty()) {
    throw std::invalid_argument("--resume needs --report: there is no report to continue");
  }
  read_benchmark_flags(options);
  const bool any_detail = !profile_sort.empty() || !profile_rows.empty() || profile_gzip || profile_counters;
  if (!profile.empty()) {
    options.profile = profile_options(profile, profile_gzip, profile_counters, profile_sort, profile_rows);
    require_profilable(options);
  } else if (any_detail) {
    throw std::invalid_argument("--profile-sort, --profile-rows, --profile-gzip and --profile-counters need --profile=NAME");
  }
  options.command_line = file_name(argv[0]);
  for (int i = 1; i < argc; ++i) options.command_line += " " + without_folder(argv[i]);
  return options;
}

}  // namespace lcnn::bench
