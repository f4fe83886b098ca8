#include "bench/run.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <initializer_list>
#include <map>
#include <new>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "bench/comparison.h"
#include "bench/console.h"
#include "bench/options.h"
#include "bench/plan.h"
#include "bench/profiling.h"
#include "bench/report.h"
#include "bench/session.h"
#include "variants/runtime.h"

namespace lcnn::bench {
namespace {

constexpr std::size_t kProfiledSamples = 5;  // each of them many runs: a profile looks into few, it compares none

volatile std::sig_atomic_t stop_requested = 0;

void request_stop(int) {
  stop_requested = 1;
  std::signal(SIGINT, SIG_DFL);  // a second Ctrl-C ends the program at once
}

Device choose_device(const Options& options) {
  if (options.device == Device::cpu) return Device::cpu;
  const std::string reason = why_no_cuda();
  if (options.device == Device::cuda && !reason.empty()) throw std::invalid_argument("--device=cuda: " + reason);
  return reason.empty() ? Device::cuda : Device::cpu;
}

// "16:1.5"
Dictionary parse_dictionary(const std::string& text) {
  std::int64_t size = 0;
  double sparsity = 0;
  int used = 0;
  if (std::sscanf(text.c_str(), "%ld:%lf%n", &size, &sparsity, &used) != 2 || used != static_cast<int>(text.size())) {
    throw std::invalid_argument(fmt::format("--dictionary={}: fast, accurate or SIZE:SPARSITY are accepted", text));
  }
  return sized_dictionary(size, sparsity);
}

// Those of `layer` that the options ask for; by name only what it has.
std::vector<Dictionary> choose_dictionaries(const Layer& layer, const Options& options) {
  std::vector<Dictionary> chosen = layer.dictionaries;
  if (options.dictionaries.empty()) {
    if (!options.full) chosen.resize(1);
    return chosen;
  }
  chosen.clear();
  for (const std::string& name : options.dictionaries) {
    if (name != "fast" && name != "accurate") {
      chosen.push_back(parse_dictionary(name));
      continue;
    }
    const auto found = std::ranges::find(layer.dictionaries, name, &Dictionary::name);
    if (found != layer.dictionaries.end()) chosen.push_back(*found);
  }
  return chosen;
}

// Layers without a dictionary that was asked for are left out.
std::vector<Layer> choose_layers(const Options& options, Device device) {
  std::vector<Layer> layers;
  for (const std::string& workload : options.workloads) {
    const bool is_file = workload.ends_with(".json") || workload.find('/') != std::string::npos;
    for (Layer& layer : is_file ? layers_from_file(workload) : workload_layers(workload, device)) {
      layer.dictionaries = choose_dictionaries(layer, options);
      if (layer.dictionaries.empty()) continue;
      if (!options.batches.empty()) layer.batches = options.batches;
      // Without --full, a set that lists several batches is measured at the device's usual one.
      if (options.batches.empty() && !options.full && layer.batches.size() == 3) {
        layer.batches = {device == Device::cuda ? 32 : 1};
      }
      layers.push_back(std::move(layer));
    }
  }
  if (layers.empty()) {
    throw std::invalid_argument(fmt::format("--dictionary={}: no layer of {} has one; SIZE:SPARSITY is accepted for every layer",
                                            fmt::join(options.dictionaries, ","), fmt::join(options.workloads, ",")));
  }
  return layers;
}

std::vector<Precision> choose_precisions(const Options& options, Device device) {
  if (!options.precisions.empty()) return options.precisions;
  if (device == Device::cpu) return {Precision::fp32};
  const bool quick = !options.full && options.workloads == std::vector<std::string>{std::string(kDefaultWorkload)};
  if (quick) return {Precision::fp32, Precision::fp16};  // tuning the baselines takes ten seconds a layer and precision
  return {Precision::fp32, Precision::tf32, Precision::fp16, Precision::bf16};
}

// Counts in double: the product of what a user may ask for exceeds 64 bits.
double product(std::initializer_list<std::int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), 1.0,
                         [](double count, std::int64_t extent) { return count * static_cast<double>(extent); });
}
double inputs(const Conv2dProblem& conv) { return product({conv.batch, conv.in_channels, conv.height, conv.width}); }
double outputs(const Conv2dProblem& conv) {
  return product({conv.batch, conv.out_channels, conv.out_height(), conv.out_width()});
}
double weights(const Conv2dProblem& conv) {
  return product({conv.out_channels, conv.in_channels_per_group(), conv.kernel[0], conv.kernel[1]});
}

// Input, output, weights and the float64 reference of the largest stage must fit before anything is measured.
void check_memory(const std::vector<Group>& groups, const Session& session) {
  const auto available = static_cast<double>(session.memory_bytes());
  for (const Group& group : groups) {
    const Conv2dProblem& conv = group.layer.conv;
    double stages = 0;
    for (const Dictionary& dictionary : group.layer.dictionaries) {
      const LookupProblem problem{conv, dictionary.size, group.layer.granularity};
      const Conv2dProblem stage = problem.dictionary_stage();
      const Pair places = problem.lookup_stage().kernel;
      const double lookups = dictionary.sparsity * product({conv.out_channels, places[0], places[1]});
      stages = std::max(stages, outputs(stage) * 8 + weights(stage) * 4 + lookups * 8);
    }
    double needed = 2 * (inputs(conv) + outputs(conv)) * static_cast<double>(element_bytes(group.precision)) +
                    outputs(conv) * 8 + weights(conv) * 4 + stages;
    if (session.device() == Device::cpu) needed += inputs(conv) * 8;
    if (!(needed <= available)) {
      throw std::invalid_argument(fmt::format("out of memory: {} needs {:.1f} GiB, the device has {:.1f} GiB", group.title(),
                                              needed / (1 << 30), available / (1 << 30)));
    }
  }
}

// Measures groups as Google Benchmark asks for their first row, and hands every row its share.
class Runner {
 public:
  Runner(Session& session, const std::vector<Group>& groups, const MachineLimits& limits, const Options& options,
         Report& report, Profiling* profiling)
      : session_(session), groups_(groups), limits_(limits), options_(options), report_(report), profiling_(profiling),
        progress_(groups.size()), results_(groups.size()) {
    measure_.mode = options.mode;
    measure_.seed = options.seed;
    if (options.tune) measure_.tuning = Tuning::everything;
    if (session.device() == Device::cpu) {
      // Two cores and other programs: less certainty for more patience.
      measure_ = {.mode = options.mode, .seed = options.seed, .min_seconds = 0.3, .max_seconds = 6.0,
                  .uncertainty_goal = 0.01, .min_samples = 9, .tuning = measure_.tuning};
    }
    if (options.min_seconds) {  // patience follows what is asked for at least
      measure_.max_seconds *= *options.min_seconds / measure_.min_seconds;
      measure_.min_seconds = *options.min_seconds;
    }
    if (profiling_ != nullptr) {
      measure_.profiling = profiling_;
      measure_.min_samples = measure_.max_samples = kProfiledSamples;
    }
    observer_ = {.progress = [this](std::string_view what) { progress_.show(what); },
                 .stop = [] { return stop_requested != 0; }};
  }

  void register_rows() {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (std::size_t r = 0; r < groups_[g].rows.size(); ++r) {
        const RowPlan& plan = groups_[g].rows[r];
        const LookupProblem problem{groups_[g].layer.conv, groups_[g].layer.dictionaries[plan.dictionary].size,
                                    groups_[g].layer.granularity};
        // Unsupported rows are in the report with their reason, not on Google Benchmark's list.
        if (!plan.variant->why_unsupported(problem, groups_[g].precision, plan.layout).empty()) continue;
        benchmark::RegisterBenchmark(plan.name.c_str(), [this, g, r](benchmark::State& state) { report_row(state, g, r); })
            ->UseManualTime()
            ->Iterations(1)
            ->Repetitions(options_.repetitions)
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }

  // Groups whose rows are all unsupported are never asked for by Google Benchmark, but belong into the report.
  void measure_the_rest() {
    for (std::size_t g = 0; g < groups_.size() && stop_requested == 0; ++g) measured(g);
  }

  std::string summary() const {
    std::string text;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (results_[g].empty()) continue;
      text += fmt::format("\n{}\n", groups_[g].title());
      if (groups_[g].layer.set == "seed" && profiling_ == nullptr) text += original_lines(results_[g]) + "\n";
      text += summary_table(results_[g]);
    }
    if (const Row* worst = worst_choice()) {
      text += fmt::format("\nworst choice: {} is {:.1f}% slower than the fastest variant measured\n", worst->name, 100 * *worst->regret);
    }
    return text;
  }

  bool any_failed() const {
    return std::ranges::any_of(results_, [](const std::vector<Row>& rows) {
      return std::ranges::any_of(rows, [](const Row& row) {
        return row.disposition == Disposition::incorrect || row.disposition == Disposition::error;
      });
    });
  }

 private:
  const Row* worst_choice() const {
    const Row* worst = nullptr;
    for (const std::vector<Row>& rows : results_) {
      for (const Row& row : rows) {
        if (row.regret && (worst == nullptr || *row.regret > *worst->regret)) worst = &row;
      }
    }
    return worst;
  }

  // The rows of group g, measured when they are first asked for; empty when the user stopped.
  const std::vector<Row>& measured(std::size_t g) {
    if (!results_[g].empty() || stop_requested != 0) return results_[g];
    progress_.next_group();
    try {
      results_[g] = measure_group(session_, groups_[g], limits_, measure_, observer_);
      report_.add(results_[g]);
      if (profiling_ != nullptr) profiling_->session().write();  // with every group: what ends the program later costs none of it
    } catch (const Interrupted&) {
    }
    session_.release_cached_memory();
    progress_.clear();
    return results_[g];
  }

  void report_row(benchmark::State& state, std::size_t g, std::size_t r) {
    const std::vector<Row>& rows = measured(g);
    if (rows.empty()) {
      state.SkipWithError("interrupted");
      return;
    }
    const Row& row = rows[r];
    if (!row.measured()) {
      state.SkipWithError(fmt::format("{}: {}", to_string(row.disposition), row.reason).c_str());
      return;
    }
    const std::vector<double> times = repetition_times(row, options_.repetitions);
    const std::size_t repetition = repetitions_done_[row.name]++ % times.size();
    for (auto _ : state) state.SetIterationTime(times[repetition] / 1e6);
    if (row.speedup) state.counters["speedup"] = *row.speedup;
    state.counters["roofline"] = row.roofline->share;
    state.counters["rel_err"] = row.verification->rel_err;
    state.counters["peak_MB"] = static_cast<double>(row.memory->peak()) / (1 << 20);
  }

  Session& session_;
  const std::vector<Group>& groups_;
  const MachineLimits& limits_;
  const Options& options_;
  Report& report_;
  Profiling* profiling_;
  Progress progress_;
  MeasureOptions measure_;
  Observer observer_;
  std::vector<std::vector<Row>> results_;
  std::map<std::string, std::size_t> repetitions_done_;
};

// Before anything is measured, so that a flag it does not know costs no time.
void initialize_google_benchmark(const Options& options) {
  static std::string program = "lcnn_bench";  // Google Benchmark keeps a pointer to it
  std::vector<std::string> arguments = options.benchmark_arguments;
  // Rows were selected already, with their baselines: Google Benchmark runs what is registered. Its versions read
  // --benchmark_min_time differently, and it has no use for it.
  std::erase_if(arguments, [](const std::string& argument) {
    return argument.starts_with("--benchmark_filter") || argument.starts_with("--benchmark_min_time");
  });
  std::vector<char*> argv{program.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  int argc = static_cast<int>(argv.size());
  benchmark::Initialize(&argc, argv.data());
  if (argc > 1) throw std::invalid_argument(fmt::format("{}: unknown option; --help lists what is accepted", argv[1]));
}

void run_google_benchmark(const Options& options) {
  const auto display = make_reporter(options.format);
  const auto file = options.out.empty() ? nullptr : make_reporter(options.out_format);
  benchmark::RunSpecifiedBenchmarks(display.get(), file.get(), ".");
}

}  // namespace

int run(const Options& options) {
  initialize_google_benchmark(options);
  const Device device = choose_device(options);
  std::vector<Group> groups = make_plan({.device = device, .layers = choose_layers(options, device),
                                         .precisions = choose_precisions(options, device), .layouts = options.layouts});
  groups = select(std::move(groups), options.filter);
  if (groups.empty()) {
    throw std::invalid_argument(fmt::format("--benchmark_filter={}: no row has such a name; --benchmark_list_tests lists them",
                                            options.filter));
  }
  if (options.list_tests) {
    for (const Group& group : groups) {
      for (const RowPlan& row : group.rows) fmt::print("{}\n", row.name);
    }
    return 0;
  }

  std::optional<Profiling> profiling;
  if (options.profile) profiling.emplace(*options.profile, device);  // before the session: counters come before other uses of CUDA
  const auto session = Session::open(device, options.threads);
  check_memory(groups, *session);
  if (!options.out.empty()) require_writable("--benchmark_out", options.out);
  const MachineLimits limits = session->measure_limits();
  nlohmann::ordered_json context = make_context(*session, options, limits);
  Report report = options.resume ? Report::resume(options.report, std::move(context), options.repetitions)
                                 : Report(options.report, std::move(context), options.repetitions);
  groups = without_finished(std::move(groups), report.finished());
  if (groups.empty()) {
    fmt::print("{}: every row is finished already\n", options.report);
    return 0;
  }

  std::signal(SIGINT, request_stop);
  Runner runner(*session, groups, limits, options, report, profiling ? &*profiling : nullptr);
  if (!profiling) {
    runner.register_rows();
    run_google_benchmark(options);
  }
  runner.measure_the_rest();
  if (options.format == "console") fmt::print("{}", runner.summary());
  if (profiling) fmt::print("{}", profiling->session().text());
  if (stop_requested != 0) {
    fmt::print(stderr, "{}: interrupted; finished rows are in the report, --resume continues it\n", options.program);
    return kExitInterrupted;
  }
  if (const std::string missing = profiling ? profiling->session().why_incomplete() : ""; !missing.empty()) {
    fmt::print(stderr, "{}: the profile is incomplete: {}\n", options.program, missing);
    return kExitRowFailed;
  }
  return runner.any_failed() ? kExitRowFailed : 0;
}

void run_program(const std::string& name, const std::function<int()>& program) {
  int exit_code = kExitBadInput;
  try {
    exit_code = program();
  } catch (const HelpRequested& help) {
    fmt::print("{}", help.text);
    exit_code = 0;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "{}: out of memory\n", name);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    fmt::print(stderr, "{}: {}\n", name, text.substr(0, text.find('\n')));
  }
  finish_process(exit_code);
}

}  // namespace lcnn::bench
