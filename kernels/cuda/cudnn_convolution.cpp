#include "kernels/cuda/cudnn_convolution.h"

#include <cudnn_frontend.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <vector>

#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/reference.h"
#include "kernels/cuda/rotated_timing.h"
#include "kernels/cuda/weights_upload.h"
#include "kernels/side_by_side.h"

namespace lcnn::cuda {
namespace {

namespace fe = cudnn_frontend;

constexpr std::int64_t kX = 1, kW = 2, kB = 3, kY = 4;                 // tensor ids
constexpr std::int64_t kWorkspaceLimit = std::int64_t{4} << 30;       // bytes
constexpr double kStrictError = 1e-5;                                 // relative, of fp32 results
constexpr int kFinalists = 8;                                         // timed again, more often
constexpr unsigned kMostBuilders = 16;                                // threads that build plans

void check_cudnn(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw std::runtime_error(fmt::format("{}: {}", what, cudnnGetErrorString(status)));
}

cudnnHandle_t create_handle() {
  cudnnHandle_t created = nullptr;
  check_cudnn(cudnnCreate(&created), "cudnnCreate");
  return created;
}

// One handle a thread: creating one takes a second.
cudnnHandle_t handle_for(cudaStream_t stream) {
  thread_local cudnnHandle_t handle = create_handle();
  check_cudnn(cudnnSetStream(handle, stream), "cudnnSetStream");
  return handle;
}

// The handle of a thread that builds plans; plans refer to it, so it stays.
cudnnHandle_t builder_handle(std::size_t builder) {
  static std::mutex mutex;
  static std::vector<cudnnHandle_t> handles;
  const std::lock_guard lock(mutex);
  while (handles.size() <= builder) handles.push_back(create_handle());
  return handles[builder];
}

fe::DataType_t data_type(Precision precision) {
  switch (precision) {
    case Precision::fp16: return fe::DataType_t::HALF;
    case Precision::bf16: return fe::DataType_t::BFLOAT16;
    default: return fe::DataType_t::FLOAT;
  }
}

using Dimensions = std::vector<std::int64_t>;

Dimensions strides_of(const Dimensions& dimensions, Layout layout) {
  const std::int64_t c = dimensions[1], h = dimensions[2], w = dimensions[3];
  return layout == Layout::nchw ? Dimensions{c * h * w, h * w, w, 1} : Dimensions{c * h * w, 1, w * c, c};
}

fe::graph::Tensor_attributes tensor(const char* name, std::int64_t id, const Dimensions& dimensions, Layout layout,
                                    Precision precision) {
  return fe::graph::Tensor_attributes()
      .set_name(name)
      .set_uid(id)
      .set_dim(dimensions)
      .set_stride(strides_of(dimensions, layout))
      .set_data_type(data_type(precision));
}

std::shared_ptr<fe::graph::Graph> build_graph(const Conv2dProblem& p, Precision precision, Layout layout,
                                              bool fuse_bias, bool every_engine, cudnnHandle_t handle) {
  auto graph = std::make_shared<fe::graph::Graph>();
  graph->set_io_data_type(data_type(precision))
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  auto x = graph->tensor(tensor("x", kX, {p.batch, p.in_channels, p.height, p.width}, layout, precision));
  auto w = graph->tensor(tensor("w", kW, {p.out_channels, p.in_channels_per_group(), p.kernel[0], p.kernel[1]}, layout,
                                precision));
  auto y = graph->conv_fprop(x, w, fe::graph::Conv_fprop_attributes()
                                       .set_padding({p.padding[0], p.padding[1]})
                                       .set_stride({p.stride[0], p.stride[1]})
                                       .set_dilation({p.dilation[0], p.dilation[1]}));
  if (fuse_bias) {
    auto bias = graph->tensor(tensor("bias", kB, {1, p.out_channels, 1, 1}, layout, precision));
    y = graph->pointwise(y, bias, fe::graph::Pointwise_attributes().set_mode(fe::PointwiseMode_t::ADD));
  }
  const Dimensions out{p.batch, p.out_channels, p.out_height(), p.out_width()};
  y->set_output(true).set_uid(kY).set_dim(out).set_stride(strides_of(out, layout)).set_data_type(data_type(precision));

  if (graph->validate().is_bad() || graph->build_operation_graph(handle).is_bad()) return nullptr;
  for (const auto mode : {fe::HeurMode_t::A, fe::HeurMode_t::B, fe::HeurMode_t::FALLBACK}) {
    (void)graph->create_execution_plans({mode});  // a mode without configurations is no error: others may have some
  }
  std::int64_t engines = 0;
  if (every_engine && graph->get_engine_count(engines).is_good()) {
    for (std::int64_t engine = 0; engine < engines; ++engine) (void)graph->create_execution_plan(engine, {});
  }
  if (precision == Precision::fp32) {
    graph->deselect_numeric_notes({fe::NumericalNote_t::TENSOR_CORE, fe::NumericalNote_t::DOWN_CONVERT_INPUTS,
                                   fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION});
  }
  return graph;
}

// One plan of one graph, with the time it took.
struct Candidate {
  std::shared_ptr<fe::graph::Graph> graph;
  std::int64_t index = 0;
  bool fused_bias = false;
  std::string name;
  std::int64_t workspace_bytes = 0;
  double microseconds = 0;
};

struct Tuned {
  Candidate best;
  std::size_t tried = 0;
};

}  // namespace

class CudnnConvolution::Implementation {
 public:
  Implementation(const Conv2dProblem& problem, std::span<const float> weight, std::span<const float> bias,
                 Precision precision, Layout layout, const Execution& execution)
      : problem_(problem), precision_(precision), layout_(layout) {
    weight_ = upload_as(layout == Layout::nchw ? std::vector<float>(weight.begin(), weight.end())
                                               : channels_last(problem, weight),
                        precision, MemoryKind::weights, execution);
    bias_ = upload_as(bias, precision, MemoryKind::weights, execution);
    tuned_ = &tuned_plan({{weight.begin(), weight.end()}, {bias.begin(), bias.end()}}, execution);
    workspace_ = Buffer(*execution.allocator, std::max<std::int64_t>(tuned_->best.workspace_bytes, 1), MemoryKind::workspace);
  }

  void run(const void* x, void* y, void* stream) {
    if (!execute(tuned_->best, x, y, workspace_.as<void>(), as_stream(stream))) {
      throw std::runtime_error(fmt::format("cuDNN plan {} failed to run", tuned_->best.name));
    }
  }

  std::string choice() const {
    return fmt::format("{}{}, fastest of {} plans", tuned_->best.name, bias_.as<void>() == nullptr ? ""
                       : tuned_->best.fused_bias ? " with fused bias" : " then a bias pass", tuned_->tried);
  }

 private:
  // W [K, C/groups, kh, kw] -> [K, kh, kw, C/groups].
  static std::vector<float> channels_last(const Conv2dProblem& p, std::span<const float> weight) {
    const std::int64_t channels = p.in_channels_per_group(), taps = p.taps();
    std::vector<float> moved(weight.size());
    for (std::int64_t k = 0; k < p.out_channels; ++k) {
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t tap = 0; tap < taps; ++tap) {
          moved[(k * taps + tap) * channels + c] = weight[(k * channels + c) * taps + tap];
        }
      }
    }
    return moved;
  }

  // Tuning takes seconds and several variants run the same convolution: its result is kept for the process. A plan
  // belongs to no weights or buffers; those are given to it at every run.
  const Tuned& tuned_plan(const DenseWeights& weights, const Execution& execution) const {
    const bool has_bias = !weights.bias.empty();
    static std::map<std::string, Tuned> tuned;
    const std::string key = fmt::format("{} {} {} {} {}", to_string(problem_), has_bias, to_string(precision_),
                                        to_string(layout_), execution.tuning != Tuning::none ? "" : " untuned");
    const auto found = tuned.find(key);
    if (found != tuned.end()) return found->second;
    std::vector<Candidate> candidates = list_candidates(has_bias, execution);
    const std::size_t tried = candidates.size();
    if (execution.tuning == Tuning::none) return tuned.emplace(key, Tuned{candidates.front(), tried}).first->second;
    return tuned.emplace(key, Tuned{fastest(std::move(candidates), weights, execution), tried}).first->second;
  }

  std::vector<Candidate> list_candidates(bool has_bias, const Execution& execution) const {
    std::vector<Candidate> candidates;
    for (const bool fuse_bias : has_bias ? std::vector<bool>{true, false} : std::vector<bool>{false}) {
      std::set<std::string> seen;
      for (Candidate& candidate : execution.tuning == Tuning::none ? first_plan(fuse_bias) : every_plan(fuse_bias)) {
        if (seen.insert(candidate.name).second) candidates.push_back(std::move(candidate));
      }
      if (execution.tuning == Tuning::none && !candidates.empty()) break;
    }
    if (candidates.empty()) {
      throw Unsupported(fmt::format("cuDNN offers no {} {} engine for this convolution", to_string(precision_),
                                           to_string(layout_)));
    }
    return candidates;
  }

  std::vector<Candidate> first_plan(bool fuse_bias) const {
    const auto graph = build_graph(problem_, precision_, layout_, fuse_bias, /*every_engine=*/false, builder_handle(0));
    for (std::int64_t i = 0; graph != nullptr && i < graph->get_execution_plan_count(); ++i) {
      if (auto candidate = build_plan(graph, i, fuse_bias)) return {std::move(*candidate)};
    }
    return {};
  }

  // Engines that compile at run time take seconds each, so threads share them. A graph is no object to share, but graphs
  // of one problem list the same plans: each thread has a graph of its own and builds the indices that it draws.
  std::vector<Candidate> every_plan(bool fuse_bias) const {
    int device = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    std::atomic<std::int64_t> next{0};
    std::mutex candidates_guard;
    std::vector<Candidate> candidates;
    const auto build = [&](std::size_t builder) {
      if (cudaSetDevice(device) != cudaSuccess) return;
      const auto graph = build_graph(problem_, precision_, layout_, fuse_bias, /*every_engine=*/true, builder_handle(builder));
      const std::int64_t plans = graph == nullptr ? 0 : graph->get_execution_plan_count();
      for (std::int64_t i = next++; i < plans; i = next++) {
        auto candidate = build_plan(graph, i, fuse_bias);
        if (!candidate) continue;
        const std::lock_guard lock(candidates_guard);
        candidates.push_back(std::move(*candidate));
      }
    };
    run_side_by_side(std::clamp(std::thread::hardware_concurrency(), 1u, kMostBuilders), build);
    std::ranges::sort(candidates, {}, &Candidate::index);
    return candidates;
  }

  // Nothing where cuDNN cannot build it or it needs too much workspace.
  static std::optional<Candidate> build_plan(const std::shared_ptr<fe::graph::Graph>& graph, std::int64_t index, bool fuse_bias) {
    Candidate candidate{.graph = graph, .index = index, .fused_bias = fuse_bias};
    if (graph->build_plan_at_index(index).is_bad() || graph->get_plan_name_at_index(index, candidate.name).is_bad() ||
        graph->get_workspace_size_plan_at_index(index, candidate.workspace_bytes).is_bad() ||
        candidate.workspace_bytes > kWorkspaceLimit) {
      return std::nullopt;
    }
    return candidate;
  }

  // Times every candidate once over rotated buffers, the kFinalists fastest more often, and returns the fastest.
  Candidate fastest(std::vector<Candidate> candidates, const DenseWeights& weights, const Execution& execution) const {
    const auto largest = std::ranges::max(candidates, {}, &Candidate::workspace_bytes).workspace_bytes;
    const Buffer workspace(*execution.allocator, std::max<std::int64_t>(largest, 1), MemoryKind::workspace);
    const RotatedTiming timing(problem_, precision_, layout_, problem_.output_elements() * element_bytes(precision_), execution);
    const auto time = [&](Candidate& candidate, int timings) {
      const auto run = [&](const void* x, void* y) {
        if (!execute(candidate, x, y, workspace.as<void>(), as_stream(execution.stream))) {
          throw std::runtime_error("the plan failed");
        }
      };
      try {
        candidate.microseconds = timing.microseconds(run, timings);
      } catch (const std::runtime_error&) {  // to run, or to be captured
        candidate.microseconds = std::numeric_limits<double>::infinity();
      }
    };
    for (Candidate& candidate : candidates) time(candidate, 1);
    std::ranges::sort(candidates, {}, &Candidate::microseconds);
    if (precision_ == Precision::fp32) candidates = exact(std::move(candidates), weights, timing, workspace, execution);
    if (candidates.size() > kFinalists) candidates.resize(kFinalists);
    for (Candidate& candidate : candidates) time(candidate, 9);
    Candidate best = *std::ranges::min_element(candidates, {}, &Candidate::microseconds);
    if (!std::isfinite(best.microseconds)) {
      throw std::runtime_error(fmt::format("every cuDNN {} {} plan failed to run", to_string(precision_),
                                           to_string(layout_)));
    }
    return best;
  }

  // The first kFinalists of these whose results agree with the float64 reference.
  std::vector<Candidate> exact(std::vector<Candidate> candidates, const DenseWeights& weights, const RotatedTiming& timing, const Buffer& workspace,
                               const Execution& execution) const {
    const DeviceReference reference = DeviceReference::conv2d(problem_, weights, timing.input(), precision_, layout_, execution.stream);
    std::vector<Candidate> found;
    double least = std::numeric_limits<double>::infinity();
    for (Candidate& candidate : candidates) {
      if (found.size() == kFinalists) break;
      if (!std::isfinite(candidate.microseconds)) continue;
      if (!execute(candidate, timing.input(), timing.output(), workspace.as<void>(), as_stream(execution.stream))) continue;
      const Comparison comparison = reference.compare(timing.output(), precision_, layout_, execution.stream);
      if (comparison.non_finite == 0) least = std::min(least, comparison.rel_err);
      if (comparison.non_finite == 0 && comparison.rel_err <= kStrictError) found.push_back(std::move(candidate));
    }
    if (found.empty()) {
      throw std::runtime_error(fmt::format("no cuDNN {} {} plan is right: the least error is {:.1e}", to_string(precision_), to_string(layout_), least));
    }
    return found;
  }

  bool execute(const Candidate& candidate, const void* x, void* y, void* workspace, cudaStream_t stream) const {
    std::unordered_map<std::int64_t, void*> pointers{
        {kX, const_cast<void*>(x)}, {kW, weight_.as<void>()}, {kY, y}};
    if (candidate.fused_bias) pointers[kB] = bias_.as<void>();
    if (candidate.graph->execute_plan_at_index(handle_for(stream), pointers, workspace, candidate.index).is_bad()) {
      return false;
    }
    if (!candidate.fused_bias && bias_.as<void>() != nullptr) {
      add_bias(problem_, precision_, layout_, bias_.as<void>(), y, stream);
    }
    return true;
  }

  Conv2dProblem problem_;
  Precision precision_;
  Layout layout_;
  Buffer weight_, bias_, workspace_;
  const Tuned* tuned_ = nullptr;
};

CudnnConvolution::CudnnConvolution(const Conv2dProblem& problem, std::span<const float> weight,
                                   std::span<const float> bias, Precision precision, Layout layout,
                                   const Execution& execution)
    : implementation_(std::make_unique<Implementation>(problem, weight, bias, precision, layout, execution)) {}

CudnnConvolution::~CudnnConvolution() = default;

void CudnnConvolution::run(const void* x, void* y, void* stream) { implementation_->run(x, y, stream); }

std::string CudnnConvolution::choice() const { return implementation_->choice(); }

}  // namespace lcnn::cuda
