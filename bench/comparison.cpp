#include "bench/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "bench/buffers.h"
#include "bench/contender.h"
#include "bench/statistics.h"
#include "bench/verification.h"
#include "profiles/nvtx_ranges.h"
#include "variants/variant_table.h"

namespace lcnn::bench {
namespace {

using profiles::Range;

// Buffer sets together exceed the last-level cache this many times when rotated.
constexpr std::int64_t kCacheMultiple = 3;
constexpr std::int64_t kMostSets = 256;

// A layer computed by a variant.
struct LayerContender : Contender<RowPlan, PreparedConvolution> {
  double estimate_us = 0;
  std::vector<double> unprofiled_samples;
};

class Comparison {
 public:
  Comparison(Session& session, const Group& group, const MachineLimits& limits, const MeasureOptions& options,
             const Observer& observer)
      : session_(session), group_(group), limits_(limits), options_(options), observer_(observer) {}

  std::vector<Row> measure() {
    draw_weights();
    allocate_buffers();
    for (const RowPlan& plan : group_.rows) contenders_.push_back(describe(plan));
    for (LayerContender& contender : contenders_) {
      if (contender.alive() && contender.row.kind == VariantKind::conv2d) prepare_and_verify(contender);
    }
    choose_baseline();
    for (LayerContender& contender : contenders_) {
      if (contender.alive() && contender.row.kind != VariantKind::conv2d) prepare_and_verify(contender);
    }
    time_alternately();
    if (options_.profiling != nullptr) {
      count_profiled();
    } else {
      compare_with_baseline();
      find_regret();
    }
    std::vector<Row> rows;
    for (LayerContender& contender : contenders_) rows.push_back(std::move(contender.row));
    return rows;
  }

 private:
  const Conv2dProblem& conv() const { return group_.layer.conv; }
  LookupProblem problem_for(const RowPlan& plan) const {
    return {conv(), group_.layer.dictionaries[plan.dictionary].size, group_.layer.granularity};
  }

  void check_stop() const {
    if (observer_.stop()) throw Interrupted();
  }

  void draw_weights() {
    for (const Dictionary& dictionary : group_.layer.dictionaries) {
      weights_.push_back(random_weights({conv(), dictionary.size, group_.layer.granularity}, dictionary.sparsity,
                                        group_.precision, options_.seed));
    }
  }

  void allocate_buffers() {
    const std::int64_t bytes = input_output_bytes(conv(), group_.precision);
    const std::int64_t wanted = (kCacheMultiple * session_.cache_bytes() + bytes - 1) / bytes;
    const std::int64_t sets = options_.mode == TimingMode::rotated ? std::clamp<std::int64_t>(wanted, 1, kMostSets) : 1;
    for (const RowPlan& plan : group_.rows) {
      if (buffers_.contains(plan.layout)) continue;
      Buffers& buffers = buffers_.emplace(plan.layout, new_buffers(sets)).first->second;
      buffers.fill(session_, conv(), group_.precision, plan.layout, input_seed());
    }
  }
  // Recorded, so that a profile knows whose memory it is; how they are filled is nobody's time.
  Buffers new_buffers(std::int64_t sets) const {
    const profiles::Recording recording(options_.profiling != nullptr ? &options_.profiling->session().recorder() : nullptr);
    const Range range = Range::of<profiles::BuffersRange>();
    return {session_, conv(), group_.precision, sets};
  }
  std::uint64_t input_seed() const { return options_.seed * 1000 + 7; }

  LayerContender describe(const RowPlan& plan) const {
    const Variant& variant = *plan.variant;
    LayerContender contender;
    contender.plan = &plan;
    Row& row = contender.row;
    row = {.name = plan.name, .kind = variant.kind, .variant = std::string(variant.name), .computes = variant.computes,
           .device = variant.device, .problem = problem_for(plan), .set = group_.layer.set, .layer = group_.layer.name,
           .dictionary = group_.layer.dictionaries[plan.dictionary], .precision = group_.precision,
           .layout = plan.layout, .disposition = Disposition::measured};
    const LookupTable& lookups = weights_[plan.dictionary].lookups;
    row.operations = count_operations(row.problem, lookups);
    row.stored_lookups = lookups.lookups();
    const std::string reason = variant.why_unsupported(row.problem, group_.precision, plan.layout);
    if (!reason.empty()) contender.fail(Disposition::unsupported, reason);
    return contender;
  }

  void prepare_and_verify(LayerContender& contender) {
    check_stop();
    contender.attempt(session_, [&] {
      prepare(contender);
      verify(contender);
      if (contender.alive()) estimate(contender);
    });
  }

  void prepare(LayerContender& contender) {
    observer_.progress("preparing " + contender.row.name);
    const RowPlan& plan = *contender.plan;
    Execution execution = session_.execution();
    execution.tuning = options_.tuning;
    const auto prepare = [&] {
      return plan.variant->prepare(contender.row.problem, weights_[plan.dictionary], group_.precision, plan.layout, execution);
    };
    const auto live_once = [&] {
      contender.work->adopt_input(buffers_.at(plan.layout).x(0), stream());
      contender.work->run(buffers_.at(plan.layout).x(0), buffers_.at(plan.layout).y(0), stream());
      session_.synchronize();
      contender.work.reset();
    };
    if (sampler() != nullptr) {
      contender.work = prepare();  // kernels that are first launched while they are recorded could not be sampled later
      live_once();
    }
    {
      const RowPhase<profiles::PrepareRange> phase(options_.profiling, contender.row.name);
      const auto begin = std::chrono::steady_clock::now();
      contender.work = prepare();
      session_.synchronize();
      contender.row.prepare_ms = seconds_since(begin) * 1e3;
    }

    // What a library allocates once for the process belongs to no row: it does so in a first life that is not counted.
    live_once();
    const std::int64_t live_before = session_.live_bytes();
    const std::array<std::int64_t, 3> counted_before = counted();
    contender.work = prepare();
    session_.synchronize();
    contender.row.choice = contender.work->choice();

    const std::array<std::int64_t, 3> counted_after = counted();
    Memory memory;
    memory.weights = counted_after[0] - counted_before[0];
    memory.prepared = counted_after[1] - counted_before[1] + contender.work->code_bytes();
    memory.workspace = counted_after[2] - counted_before[2];
    if (plan.variant->kind != VariantKind::lookup) {
      // Libraries hold their weights in memory of their own: what grew beyond our allocator's count.
      const std::int64_t grown = session_.live_bytes() - live_before;
      memory.weights += std::max<std::int64_t>(grown - memory.peak(), 0);
    }
    memory.input = conv().input_elements() * element_bytes(group_.precision);
    memory.output = conv().output_elements() * element_bytes(group_.precision);
    contender.row.memory = memory;
  }

  std::array<std::int64_t, 3> counted() const {
    const CountingAllocator& allocator = session_.allocator();
    return {allocator.live_bytes(MemoryKind::weights), allocator.live_bytes(MemoryKind::prepared),
            allocator.live_bytes(MemoryKind::workspace)};
  }

  void verify(LayerContender& contender) {
    observer_.progress("verifying " + contender.row.name);
    const Range row_range(contender.row.name.c_str()), range = Range::of<profiles::VerifyRange>();
    const RowPlan& plan = *contender.plan;
    const Buffers& buffers = buffers_.at(plan.layout);
    Reference& reference = reference_for(plan);
    session_.poison(buffers.y(0), contender.row.memory->output);
    contender.work->adopt_input(buffers.x(0), stream());
    session_.synchronize();

    const std::int64_t live_before = session_.live_bytes();
    session_.reset_peak();
    contender.work->run(buffers.x(0), buffers.y(0), stream());
    session_.synchronize();
    std::int64_t transient = std::max<std::int64_t>(session_.peak_bytes() - live_before, 0);
    // A result in memory of the library's own stands for the output, which is counted already.
    if (contender.work->owns_output()) transient = std::max<std::int64_t>(transient - contender.row.memory->output, 0);
    contender.row.memory->workspace += transient;

    contender.work->emit_output(buffers.y(0), stream());
    const lcnn::Comparison found = reference.compare(buffers.y(0), group_.precision, plan.layout);
    const bool compared = contender.row.kind != VariantKind::conv2d && baseline_ != nullptr;
    contender.row.verification = verification_of(found, group_.precision, compared ? &baseline_->row : nullptr);
    if (std::string reason = why_incorrect(*contender.row.verification, "the output"); !reason.empty()) {
      contender.fail(Disposition::incorrect, std::move(reason));
    }
  }

  // References are kept for the group: several rows compute the same function. All from set 0, NCHW where it is there.
  Reference& reference_for(const RowPlan& plan) {
    const Variant& variant = *plan.variant;
    auto& reference = references_[{variant.computes, plan.dictionary}];
    if (reference == nullptr) {
      const Layout layout = buffers_.begin()->first;
      const void* x = buffers_.begin()->second.x(0);
      const LookupProblem problem = problem_for(plan);
      const LookupWeights& weights = weights_[plan.dictionary];
      if (variant.computes == Computes::lookups) {
        reference = session_.reference_lookup(problem, weights, x, group_.precision, layout);
      } else {
        DenseWeights dense = dense_weights(problem, weights, group_.precision);
        if (variant.computes == Computes::pruned_2_4) dense = prune_2_4(conv(), std::move(dense));
        reference = session_.reference_conv2d(conv(), dense, x, group_.precision, layout);
      }
    }
    return *reference;
  }

  Run run_of(LayerContender& contender) const {
    const Buffers& buffers = buffers_.at(contender.plan->layout);
    return [&buffers, prepared = contender.work.get()](std::int64_t set, void* run_stream) {
      prepared->run(buffers.x(set), buffers.y(set), run_stream);
    };
  }

  // A first timing sizes the samples; it also makes the first calls that libraries are slow at.
  void estimate(LayerContender& contender) {
    const RowPhase<profiles::WarmUpRange> phase(options_.profiling, contender.row.name);
    const Buffers& buffers = buffers_.at(contender.plan->layout);
    for (std::int64_t set = 1; set < buffers.sets(); ++set) contender.work->adopt_input(buffers.x(set), stream());
    session_.synchronize();
    const auto begin = std::chrono::steady_clock::now();
    contender.work->run(buffers.x(0), buffers.y(0), stream());
    session_.synchronize();
    contender.estimate_us = microseconds_since(begin);
    contender.timer = session_.make_timer(run_of(contender), buffers.sets(), options_.mode, contender.estimate_us);
    const double first_call_us = std::exchange(contender.estimate_us, contender.timer->sample());
    if (contender.estimate_us > 0.7 * first_call_us) return;
    // A warm run is much faster: samples are made as long as they should be.
    contender.timer.reset();
    contender.timer = session_.make_timer(run_of(contender), buffers.sets(), options_.mode, contender.estimate_us);
    contender.estimate_us = contender.timer->sample();
  }

  // The fastest Conv2d of any library and layout; by estimate before, by median after timing.
  void choose_baseline() {
    baseline_ = nullptr;
    const auto time_of = [](const LayerContender& contender) {
      return contender.row.timing ? contender.row.timing->median_us : contender.estimate_us;
    };
    for (LayerContender& contender : contenders_) {
      if (!contender.alive() || contender.row.kind != VariantKind::conv2d) continue;
      if (baseline_ == nullptr || time_of(contender) < time_of(*baseline_)) baseline_ = &contender;
    }
  }

  void time_alternately() {
    observer_.progress("measuring " + group_.title());
    const Range range = Range::of<profiles::MeasureRowsRange>();
    const profiles::SamplingPause pause(sampler());
    for (bool any = true; any;) {
      any = false;
      for (LayerContender& contender : contenders_) {
        if (!contender.alive() || contender.samples.enough(options_)) continue;
        check_stop();
        any = true;
        sample(contender);
      }
    }
    for (LayerContender& contender : contenders_) {
      if (contender.alive()) summarise(contender);
    }
    choose_baseline();
  }

  void sample(LayerContender& contender) const {
    contender.attempt(session_, [&] {
      if (options_.profiling != nullptr) {
        contender.timer->sample();  // with and without the profiler, a sample follows one of its own row: the caches are alike
        contender.unprofiled_samples.push_back(contender.timer->sample());
      }
      const RowPhase<profiles::MeasureRange> phase(options_.profiling, contender.row.name);
      contender.add_sample(session_, [&] {
        return options_.profiling != nullptr ? options_.profiling->sample(contender.row.name, *contender.timer) : contender.timer->sample();
      });
    });
  }

  void summarise(LayerContender& contender) const {
    contender.row.timing = contender.samples.timing(options_, contender.timer->runs_per_sample());
    if (options_.profiling != nullptr) {
      const double unprofiled_us = median(contender.unprofiled_samples);
      contender.row.profiled = Profiled{.unprofiled_median_us = unprofiled_us,
                                        .overhead = contender.row.timing->median_us / unprofiled_us - 1};
    }
    contender.row.roofline = roofline(contender.row, limits_);
    contender.row.clocks = contender.samples.clocks();
  }

  void count_profiled() {
    for (LayerContender& contender : contenders_) {
      if (!contender.alive()) continue;
      check_stop();
      observer_.progress("counting " + contender.row.name);
      contender.attempt(session_, [&] {
        options_.profiling->count(contender.row, buffers_.at(contender.plan->layout).sets(), run_of(contender), stream());
      });
    }
  }

  void compare_with_baseline() {
    if (baseline_ == nullptr) return;
    for (LayerContender& contender : contenders_) {
      if (contender.alive()) compare_with(baseline_->row, contender.row);
    }
  }

  // How much slower the variant that chooses among the others is than the fastest of them in the same layout.
  void find_regret() {
    for (LayerContender& chooser : contenders_) {
      if (!chooser.alive() || chooser.row.variant != kAutoVariant) continue;
      for (const LayerContender& other : contenders_) {
        if (!other.alive() || other.row.kind != VariantKind::lookup || &other == &chooser) continue;
        if (other.plan->layout != chooser.plan->layout || other.plan->dictionary != chooser.plan->dictionary) continue;
        const double regret = chooser.row.timing->median_us / other.row.timing->median_us - 1;
        chooser.row.regret = std::max(chooser.row.regret.value_or(0.0), regret);
      }
    }
  }

  void* stream() const { return session_.execution().stream; }
  std::shared_ptr<profiles::StallSampler> sampler() const {
    return options_.profiling != nullptr ? options_.profiling->session().stall_sampler() : nullptr;
  }

  Session& session_;
  const Group& group_;
  const MachineLimits& limits_;
  const MeasureOptions& options_;
  const Observer& observer_;
  std::vector<LookupWeights> weights_;  // one for each dictionary
  std::map<Layout, Buffers> buffers_;
  std::map<std::pair<Computes, std::size_t>, std::unique_ptr<Reference>> references_;
  std::vector<LayerContender> contenders_;
  LayerContender* baseline_ = nullptr;
};

// Multiply-accumulates that the function a row computes needs at least, as seconds on this machine.
double operation_seconds(const Row& row, const MachineLimits& limits) {
  const double matrix_rate = limits.matrix_mac_per_s(row.precision), dense = row.operations.conv2d_multiplications / matrix_rate;
  switch (row.computes) {
    case Computes::dense_weights: return dense;
    case Computes::pruned_2_4: return dense / 2;
    case Computes::lookups: break;
  }
  // Lookups are scattered: they run on the ordinary units, two to an instruction at 16 bits. Or by the filters that they stand for.
  const double lookup_rate = limits.fma_per_s * (element_bytes(row.precision) == 2 ? 2 : 1);
  return std::min(dense, row.operations.dictionary_multiplications / matrix_rate + row.operations.lookups / lookup_rate);
}

}  // namespace

std::string_view to_string(Disposition disposition) {
  switch (disposition) {
    case Disposition::measured: return "measured";
    case Disposition::incorrect: return "incorrect";
    case Disposition::error: return "error";
    case Disposition::unsupported: return "unsupported";
  }
  return "?";
}

Roofline roofline(const Row& row, const MachineLimits& limits) {
  const Memory& memory = *row.memory;
  const double bytes = static_cast<double>(memory.weights + memory.input + memory.output);
  const double byte_us = bytes / limits.copy_bytes_per_s * 1e6;
  const double operation_us = operation_seconds(row, limits) * 1e6;
  const double limit_us = std::max(byte_us, operation_us);
  return {.limit_us = limit_us, .bound = byte_us >= operation_us ? "bytes" : "operations",
          .share = limit_us / row.timing->median_us};
}

std::string largest_memory_difference(const Memory& memory, const Memory& baseline) {
  struct Item {
    const char* name;
    std::int64_t Memory::*bytes;
  };
  constexpr std::array<Item, 5> kItems{{{"weights", &Memory::weights}, {"input", &Memory::input},
                                        {"output", &Memory::output}, {"workspace", &Memory::workspace},
                                        {"prepared data", &Memory::prepared}}};
  const auto difference = [&](const Item& item) { return std::abs(memory.*item.bytes - baseline.*item.bytes); };
  const Item& largest = *std::ranges::max_element(kItems, {}, difference);
  if (difference(largest) == 0) return "no item differs";
  const auto megabytes = [](std::int64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); };
  return fmt::format("{}: {:.2f} MB against {:.2f} MB", largest.name, megabytes(memory.*largest.bytes),
                     megabytes(baseline.*largest.bytes));
}

void compare_with(const Row& baseline, Row& row) {
  row.baseline = baseline.name;
  row.speedup = baseline.timing->median_us / row.timing->median_us;
  row.memory_ratio = static_cast<double>(baseline.memory->peak()) / static_cast<double>(row.memory->peak());
  row.memory_difference = largest_memory_difference(*row.memory, *baseline.memory);
}

std::string reason_of_failure(Session& session, const std::string& row, const std::exception& error) {
  const std::string text = error.what();  // its first line is the reason, the rest a library's backtrace
  if (const std::string fatal = session.why_unusable(); !fatal.empty()) {
    throw std::runtime_error(fmt::format("{} broke the device ({}): leave it out by --benchmark_filter and --resume", row, fatal));
  }
  return text.substr(0, std::min(text.find('\n'), std::size_t{300}));
}

std::vector<Row> measure_group(Session& session, const Group& group, const MachineLimits& limits,
                               const MeasureOptions& options, const Observer& observer) {
  return Comparison(session, group, limits, options, observer).measure();
}

}  // namespace lcnn::bench
