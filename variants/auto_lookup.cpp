// auto: the lookup variant that was fastest where it was tuned, else the one that a cost model expects to be.
#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <vector>

#include "kernels/cuda/wgmma_gather_tiles.h"
#include "kernels/random.h"
#include "kernels/stored_values.h"
#include "kernels/tuning_cache.h"
#include "variants/runtime.h"
#include "variants/variant_table.h"
#if LCNN_HAS_CUDA
#include "kernels/cuda/rotated_timing.h"
#endif

namespace lcnn {
namespace {

using Candidates = std::vector<const Variant*>;

// What the kernels' ladder measured, as an order: channels last, both stages as products of warpgroups; else lanes over images where
// there are few positions, lookups side by side where there is one and a large table; lookups as data where images are small and
// code would be fetched for few pixels; the fused kernels where a launch and S's way through memory count for more than S of the
// halo, computed twice.
int expected_rank(const Variant& variant, const LookupProblem& problem, Precision precision, std::int64_t lookups) {
  const std::int64_t positions = problem.conv.out_height() * problem.conv.out_width();
  const bool few_positions = positions <= 2 * 2, half = element_bytes(precision) == 2;
  std::vector<std::string_view> order;
  const auto then = [&](std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) order.push_back(name);
  };
  if (variant.device == Device::cpu) {
    constexpr std::int64_t kLargeS = 32 * 1024;  // of one image: about where flat_gather's wider table leaves the caches
    const Conv2dProblem s = problem.dictionary_stage();
    if (few_positions && problem.conv.batch >= 4) then({"batch_gather", "flat_gather"});
    else if (positions == 1 && s.out_channels * s.out_height() * s.out_width() >= kLargeS) then({"row_gather", "flat_gather", "batch_gather"});
    else then({"flat_gather", "batch_gather"});
    then({"row_gather", "shared_tiled", "precompute_gather", kDenseVariant, "naive_sparse"});
  } else {
    // Where there are more entries than X has channels, lookups are slower than a dense convolution, but where that is strict and they are few enough
    // to be code, or where a batch is too small for its weights.
    const bool large = !few_positions && problem.dictionary_size_per_group() >= problem.conv.in_channels_per_group();
    if (large && (precision != Precision::fp32 || lookups > cuda::kMostBakedLookups)) then({kDenseVariant});
    if (few_positions) then({"batch_gather"});
    // A product with dense P multiplies as many entries as there are: at 4 bytes that is more than gathering takes, at 16 bits where a batch is large
    // enough for code to be fetched in no time.
    const std::int64_t all_positions = positions * problem.conv.batch;
    if (!half || all_positions >= (problem.dictionary_size >= 64 ? 8 * 1024 : 64 * 1024)) then({"wgmma_gather", "wgmma_fused"});
    else then({"wgmma_fused", "wgmma_gather"});
    if (few_positions) then({"compact_gather", "table_gather", "baked_gather"});
    else if (positions < 10 * 10) then({"compact_gather", "table_gather", "baked_gather", "baked_filter", "baked_fused"});
    else if (positions < 20 * 20) then({"table_gather", "compact_gather", "baked_gather", "baked_filter", "baked_fused"});
    else if (half && positions < 40 * 40) then({"baked_filter", "compact_gather", "baked_fused", "baked_gather", "table_gather"});
    else if (half) then({"baked_filter", "baked_fused", "compact_gather", "baked_gather", "table_gather"});
    else then({"baked_filter", "baked_gather", "baked_fused", "table_gather"});
    then({"precompute_gather", kDenseVariant, "shared_tiled", "naive_sparse"});
  }
  return static_cast<int>(std::ranges::find(order, variant.name) - order.begin());
}

// Supported variants of the device, best guess first.
Candidates candidates_for(Device device, const LookupProblem& problem, Precision precision, Layout layout, std::int64_t lookups) {
  Candidates candidates;
  for (const Variant* variant : variant_table()) {
    if (variant->kind != VariantKind::lookup || variant->device != device || variant->name == kAutoVariant) continue;
    if (variant->why_unsupported(problem, precision, layout).empty()) candidates.push_back(variant);
  }
  std::ranges::stable_sort(candidates, {}, [&](const Variant* variant) { return expected_rank(*variant, problem, precision, lookups); });
  // Minutes a run on large layers: on a CPU naive_sparse is for what nothing else supports.
  if (device == Device::cpu && candidates.size() > 1 && candidates.back()->name == "naive_sparse") candidates.pop_back();
  return candidates;
}

std::string device_name([[maybe_unused]] Device device) {
#if LCNN_HAS_CUDA
  if (device == Device::cuda) return cuda::device_name();
#endif
  return processor_name() + ", " + std::to_string(threads()) + " threads";
}

// The least of some runs, in microseconds.
double cpu_microseconds(PreparedConvolution& prepared, const Conv2dProblem& problem, Precision precision, const Execution& execution) {
  constexpr double kPatience = 0.2e6;
  const Buffer x(*execution.allocator, problem.input_elements() * element_bytes(precision), MemoryKind::workspace);
  const Buffer y(*execution.allocator, problem.output_elements() * element_bytes(precision), MemoryKind::workspace);
  std::vector<float> values(problem.input_elements());
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random_value(1, i);
  store_values(values, precision, x.as<void>());
  double least = std::numeric_limits<double>::infinity(), spent = 0;
  for (int run = 0; run < 20 && (run < 2 || spent < kPatience); ++run) {
    const auto begin = std::chrono::steady_clock::now();
    prepared.run(x.as<void>(), y.as<void>(), nullptr);
    const double time = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
    least = std::min(least, time);
    spent += time;
  }
  return least;
}

double microseconds_of([[maybe_unused]] const Variant& variant, PreparedConvolution& prepared, const Conv2dProblem& problem, Precision precision,
                       [[maybe_unused]] Layout layout, const Execution& execution) {
#if LCNN_HAS_CUDA
  if (variant.device == Device::cuda) {
    return cuda::RotatedTiming(problem, precision, layout, problem.output_elements() * element_bytes(precision), execution).microseconds([&](const void* x, void* y) {
      prepared.run(x, y, execution.stream);
    });
  }
#endif
  return cpu_microseconds(prepared, problem, precision, execution);
}

template <Device kDevice>
class AutoLookup final : public PreparedConvolution {
 public:
  AutoLookup(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
             const Execution& execution) {
    const Candidates candidates = candidates_for(kDevice, problem, precision, layout, weights.lookups.lookups());
    const std::string key = tuning_key(device_name(kDevice), "auto " + std::string(to_string(layout)), problem, precision,
                                       weights.lookups.lookups());
    TuningCache& cache = TuningCache::of_process();
    const auto prepare = [&](const Variant& variant) { return variant.prepare(problem, weights, precision, layout, execution); };
    if (execution.tuning == Tuning::everything && !cache.measured_here(key)) {
      cache.store(key, fastest(candidates, prepare, [&](const Variant& variant, PreparedConvolution& prepared) {
        const double time = microseconds_of(variant, prepared, problem.conv, precision, layout, execution);
        log_timing(key, std::string(variant.name), time);
        return time;
      }));
    }
    const auto tuned = execution.tuning == Tuning::none ? std::nullopt : cache.find(key);
    const auto found = std::ranges::find_if(candidates, [&](const Variant* variant) { return tuned && variant->name == *tuned; });
    if (found != candidates.end()) {
      take(**found, prepare(**found), "as tuned");
      return;
    }
    for (const Variant* variant : candidates) {
      try {
        take(*variant, prepare(*variant), "by guess");
        return;
      } catch (const Unsupported& reason) {
        if (variant == candidates.back()) throw;
      }
    }
  }

  void run(const void* x, void* y, void* stream) override { chosen_->run(x, y, stream); }
  void adopt_input(const void* x, void* stream) override { chosen_->adopt_input(x, stream); }
  void emit_output(void* y, void* stream) override { chosen_->emit_output(y, stream); }
  bool owns_output() const override { return chosen_->owns_output(); }
  std::int64_t code_bytes() const override { return chosen_->code_bytes(); }
  std::string choice() const override { return choice_; }

 private:
  template <typename Prepare, typename Measure>
  static std::string fastest(const Candidates& candidates, const Prepare& prepare, const Measure& measure) {
    std::string best;
    double best_time = std::numeric_limits<double>::infinity();
    for (const Variant* variant : candidates) {
      try {
        const auto prepared = prepare(*variant);
        if (const double time = measure(*variant, *prepared); time < best_time) {
          best = variant->name;
          best_time = time;
        }
      } catch (const Unsupported&) {
      }
    }
    return best;
  }

  void take(const Variant& variant, std::unique_ptr<PreparedConvolution> prepared, const char* how) {
    chosen_ = std::move(prepared);
    const std::string inner = chosen_->choice();
    choice_ = std::string(variant.name) + " " + how + (inner.empty() ? "" : ": " + inner);
  }

  std::unique_ptr<PreparedConvolution> chosen_;
  std::string choice_;
};

// The reason of the last variant where none supports it.
template <Device kDevice>
std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  std::string reason;
  for (const Variant* variant : variant_table()) {
    if (variant->kind != VariantKind::lookup || variant->device != kDevice || variant->name == kAutoVariant) continue;
    reason = variant->why_unsupported(problem, precision, layout);
    if (reason.empty()) return reason;
  }
  return reason;
}

}  // namespace

const Variant cpu::auto_lookup{.name = kAutoVariant,
                               .device = Device::cpu,
                               .why_unsupported = why_unsupported<Device::cpu>,
                               .prepare = prepare_as<AutoLookup<Device::cpu>>};

#if LCNN_HAS_CUDA
const Variant cuda::auto_lookup{.name = kAutoVariant,
                                .device = Device::cuda,
                                .why_unsupported = why_unsupported<Device::cuda>,
                                .prepare = prepare_as<AutoLookup<Device::cuda>>};
#endif

}  // namespace lcnn
