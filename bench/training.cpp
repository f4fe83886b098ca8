#include "bench/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "bench/contender.h"
#include "bench/verification.h"

namespace lcnn::bench {
namespace {

using StepContender = Contender<TrainingRowPlan, TrainingStep>;

class TrainingComparison {
 public:
  TrainingComparison(Session& session, const TrainingNetworks& networks, const TrainingGroup& group, const MeasureOptions& options,
                     const Observer& observer)
      : session_(session), networks_(networks), group_(group), options_(options), observer_(observer) {}

  std::vector<Row> measure() {
    for (const TrainingRowPlan& plan : group_.rows) contenders_.push_back(describe(plan));
    for (StepContender& contender : contenders_) attempt(contender, [&] { verify(contender); });
    for (StepContender& contender : contenders_) attempt(contender, [&] { prepare(contender); });
    time_alternately();
    if (const StepContender* const baseline = fastest_baseline()) {
      for (StepContender& contender : contenders_) {
        if (contender.alive()) compare_with(baseline->row, contender.row);
      }
    }
    std::vector<Row> rows;
    for (StepContender& contender : contenders_) rows.push_back(std::move(contender.row));
    return rows;
  }

 private:
  TrainingRun training_run() const { return {.device = session_.device(), .seed = options_.seed}; }

  void check_stop() const {
    if (observer_.stop()) throw Interrupted();
  }

  StepContender describe(const TrainingRowPlan& plan) const {
    StepContender contender{.plan = &plan};
    contender.row = {.name = plan.name, .kind = plan.is_baseline() ? VariantKind::conv2d : VariantKind::lookup,
                     .variant = plan.convolution, .device = session_.device(), .set = "training", .layer = group_.network,
                     .dictionary = group_.dictionaries[plan.dictionary], .precision = group_.precision, .layout = plan.layout,
                     .disposition = Disposition::measured};
    contender.row.training = TrainingProblem{.batch = group_.batch};
    return contender;
  }

  template <typename Action>
  void attempt(StepContender& contender, const Action& action) {
    if (!contender.alive()) return;
    check_stop();
    contender.attempt(session_, action);
  }

  void verify(StepContender& contender) {
    observer_.progress("verifying " + contender.row.name);
    const lcnn::Comparison found = networks_.verify(group_, *contender.plan, training_run());
    const auto baseline = std::ranges::find_if(contenders_, [](const StepContender& c) { return c.alive() && c.plan->is_baseline(); });
    const bool compared = !contender.plan->is_baseline() && baseline != contenders_.end();
    contender.row.verification = verification_of(found, group_.precision, compared ? &baseline->row : nullptr);
    if (std::string reason = why_incorrect(*contender.row.verification, "outputs and gradients"); !reason.empty()) {
      contender.row.memory = Memory{};
      contender.fail(Disposition::incorrect, std::move(reason));
    }
  }

  void prepare(StepContender& contender) {
    observer_.progress("preparing " + contender.row.name);
    const std::int64_t live_before = session_.live_bytes();
    const auto begin = std::chrono::steady_clock::now();
    contender.work = networks_.prepare(group_, *contender.plan, training_run());
    contender.work->run();  // libraries are slow at their first call; gradients and the optimizer's state come to be
    session_.synchronize();
    contender.row.prepare_ms = seconds_since(begin) * 1e3;
    contender.row.training = contender.work->problem();

    const std::int64_t live = session_.live_bytes();
    session_.reset_peak();
    const auto step_begin = std::chrono::steady_clock::now();
    contender.work->run();
    session_.synchronize();
    const double step_us = microseconds_since(step_begin);
    const TrainingMemory kept = contender.work->memory();
    Memory memory{.weights = kept.weights, .input = kept.images, .output = kept.outputs};
    memory.prepared = std::max<std::int64_t>(live - live_before - memory.weights - memory.input, 0);
    memory.workspace = std::max<std::int64_t>(session_.peak_bytes() - live - memory.output, 0) + kept.graph;
    contender.row.memory = memory;
    contender.timer = session_.make_step_timer([step = contender.work.get()](std::int64_t, void*) { step->run(); }, step_us);
  }

  void time_alternately() {
    observer_.progress("measuring " + group_.title());
    for (bool any = true; any;) {
      any = false;
      for (StepContender& contender : contenders_) {
        if (!contender.alive() || contender.samples.enough(options_)) continue;
        any = true;
        attempt(contender, [&] { contender.add_sample(session_, [&] { return contender.timer->sample(); }); });
      }
    }
    for (StepContender& contender : contenders_) {
      if (!contender.alive()) continue;
      contender.row.timing = contender.samples.timing(options_, contender.timer->runs_per_sample());
      contender.row.clocks = contender.samples.clocks();
    }
  }

  const StepContender* fastest_baseline() const {
    const StepContender* fastest = nullptr;
    for (const StepContender& contender : contenders_) {
      if (!contender.alive() || !contender.plan->is_baseline()) continue;
      if (fastest == nullptr || contender.row.timing->median_us < fastest->row.timing->median_us) fastest = &contender;
    }
    return fastest;
  }

  Session& session_;
  const TrainingNetworks& networks_;
  const TrainingGroup& group_;
  const MeasureOptions& options_;
  const Observer& observer_;
  std::vector<StepContender> contenders_;
};

}  // namespace

std::string TrainingGroup::title() const { return fmt::format("training/{} n{} {}", network, batch, to_string(precision)); }

std::vector<TrainingGroup> make_training_plan(const TrainingNetworks& networks, const TrainingPlanOptions& options) {
  std::vector<TrainingGroup> groups;
  for (const std::string& network : networks.names()) {
    for (const std::int64_t batch : options.batches) {
      for (const Precision precision : options.precisions) {
        TrainingGroup& group =
            groups.emplace_back(TrainingGroup{.network = network, .batch = batch, .precision = precision, .dictionaries = options.dictionaries});
        const auto add = [&](TrainingRowPlan row, const std::string& dictionary) {
          row.name = fmt::format("Train/{}/{}/{}n{}/{}{}", row.convolution, network, dictionary.empty() ? "" : dictionary + "/", batch,
                                 to_string(precision), row.layout == Layout::nhwc ? "/nhwc" : "");
          group.rows.push_back(row);
          if (!options.graphs) return;
          row.graph = true;
          row.name += "/graph";
          group.rows.push_back(std::move(row));
        };
        for (const Layout layout : options.layouts) add({.convolution = "conv2d", .layout = layout}, "");
        for (std::size_t d = 0; d < options.dictionaries.size(); ++d) {
          for (const TrainingMethod& method : networks.methods()) {
            for (const Layout layout : options.layouts) {
              if (std::ranges::find(method.layouts, layout) == method.layouts.end()) continue;
              add({.convolution = method.name, .layout = layout, .dictionary = d}, options.dictionaries[d].name);
            }
          }
        }
      }
    }
  }
  return groups;
}

std::vector<Row> measure_training(Session& session, const TrainingNetworks& networks, const TrainingGroup& group,
                                  const MeasureOptions& options, const Observer& observer) {
  return TrainingComparison(session, networks, group, options, observer).measure();
}

}  // namespace lcnn::bench
