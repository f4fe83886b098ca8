#include "bench/run.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <map>
#include <new>
#include <optional>
#include <stdexcept>

#include "bench/choices.h"
#include "bench/comparison.h"
#include "bench/console.h"
#include "bench/options.h"
#include "bench/plan.h"
#include "bench/profiling.h"
#include "bench/report.h"
#include "bench/selection.h"
#include "bench/session.h"
#include "bench/training.h"
#include "variants/runtime.h"

namespace lcnn::bench {
namespace {

constexpr std::size_t kProfiledSamples = 5;  // each of them many runs: a profile looks into few, it compares none

volatile std::sig_atomic_t stop_requested = 0;

void request_stop(int) {
  stop_requested = 1;
  std::signal(SIGINT, SIG_DFL);  // a second Ctrl-C ends the program at once
}

// Rows that are measured together: of a layer, or of a network's training.
struct Measurement {
  std::string title;
  std::vector<std::string> names;      // of its rows, in their order
  std::vector<bool> unsupported;       // which of them are known not to be measured
  bool original = false;               // whether it is the original's comparison
  std::function<std::vector<Row>(const MeasureOptions&, const Observer&)> measure;
};

Measurement measurement_of(Session& session, const Group& group, const MachineLimits& limits) {
  Measurement measurement{.title = group.title(), .original = group.layer.set == "seed",
                          .measure = [&](const MeasureOptions& options, const Observer& observer) {
                            return measure_group(session, group, limits, options, observer);
                          }};
  for (const RowPlan& row : group.rows) {
    const LookupProblem problem{group.layer.conv, group.layer.dictionaries[row.dictionary].size, group.layer.granularity};
    measurement.names.push_back(row.name);
    measurement.unsupported.push_back(!row.variant->why_unsupported(problem, group.precision, row.layout).empty());
  }
  return measurement;
}

Measurement measurement_of(Session& session, const TrainingGroup& group, const TrainingNetworks& networks) {
  Measurement measurement{.title = group.title(), .measure = [&](const MeasureOptions& options, const Observer& observer) {
                            return measure_training(session, networks, group, options, observer);
                          }};
  for (const TrainingRowPlan& row : group.rows) measurement.names.push_back(row.name);
  measurement.unsupported.resize(measurement.names.size(), false);
  return measurement;
}

// Measures as Google Benchmark asks for a measurement's first row, and hands every row its share.
class Runner {
 public:
  Runner(Session& session, const std::vector<Measurement>& measurements, const Options& options, Report& report, Profiling* profiling)
      : session_(session), measurements_(measurements), options_(options), report_(report), profiling_(profiling),
        progress_(measurements.size()), results_(measurements.size()) {
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
    for (std::size_t m = 0; m < measurements_.size(); ++m) {
      for (std::size_t r = 0; r < measurements_[m].names.size(); ++r) {
        // Unsupported rows are in the report with their reason, not on Google Benchmark's list.
        if (measurements_[m].unsupported[r]) continue;
        benchmark::RegisterBenchmark(measurements_[m].names[r].c_str(), [this, m, r](benchmark::State& state) { report_row(state, m, r); })
            ->UseManualTime()
            ->Iterations(1)
            ->Repetitions(options_.repetitions)
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }

  // Those whose rows are all unsupported are never asked for by Google Benchmark, but belong into the report.
  void measure_the_rest() {
    for (std::size_t m = 0; m < measurements_.size() && stop_requested == 0; ++m) measured(m);
  }

  std::string summary() const {
    std::string text;
    for (std::size_t m = 0; m < measurements_.size(); ++m) {
      if (results_[m].empty()) continue;
      text += fmt::format("\n{}\n", measurements_[m].title);
      if (measurements_[m].original && profiling_ == nullptr) text += original_lines(results_[m]) + "\n";
      text += summary_table(results_[m]);
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

  // The rows of measurement m, measured when they are first asked for; empty when the user stopped.
  const std::vector<Row>& measured(std::size_t m) {
    if (!results_[m].empty() || stop_requested != 0) return results_[m];
    progress_.next_group();
    try {
      results_[m] = measurements_[m].measure(measure_, observer_);
      report_.add(results_[m]);
      if (profiling_ != nullptr) profiling_->session().write();  // with every group: what ends the program later costs none of it
    } catch (const Interrupted&) {
    }
    session_.release_cached_memory();
    progress_.clear();
    return results_[m];
  }

  void report_row(benchmark::State& state, std::size_t m, std::size_t r) {
    const std::vector<Row>& rows = measured(m);
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
    if (row.roofline) state.counters["roofline"] = row.roofline->share;
    state.counters["rel_err"] = row.verification->rel_err;
    state.counters["peak_MB"] = static_cast<double>(row.memory->peak()) / (1 << 20);
  }

  Session& session_;
  const std::vector<Measurement>& measurements_;
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

template <typename AnyGroup>
void print_names(const AnyGroup& group) {
  for (const auto& row : group.rows) fmt::print("{}\n", row.name);
}

}  // namespace

int run(const Options& options, const TrainingNetworks* networks) {
  initialize_google_benchmark(options);
  const Device device = choose_device(options);
  std::vector<Group> groups;
  std::vector<TrainingGroup> training;
  if (networks != nullptr && asks_for_training(options)) {
    training = choose_training_groups(options, device, *networks);
  } else {
    groups = choose_groups(options, device);
  }
  if (groups.empty() && training.empty()) {
    throw std::invalid_argument(fmt::format("--benchmark_filter={}: no row has such a name; --benchmark_list_tests lists them",
                                            options.filter));
  }
  if (options.list_tests) {
    for (const Group& group : groups) print_names(group);
    for (const TrainingGroup& group : training) print_names(group);
    return 0;
  }
  if (options.profile && !training.empty()) throw std::invalid_argument("--profile: steps of training are profiled by lcnn_profile --model");

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
  training = without_finished(std::move(training), report.finished());
  if (groups.empty() && training.empty()) {
    fmt::print("{}: every row is finished already\n", options.report);
    return 0;
  }

  std::signal(SIGINT, request_stop);
  std::vector<Measurement> measurements;
  for (const Group& group : groups) measurements.push_back(measurement_of(*session, group, limits));
  for (const TrainingGroup& group : training) measurements.push_back(measurement_of(*session, group, *networks));
  Runner runner(*session, measurements, options, report, profiling ? &*profiling : nullptr);
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
