#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "bench/fma_rate.h"
#include "bench/nvml_clocks.h"
#include "bench/session.h"
#include "bench/statistics.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/reference.h"

namespace lcnn::bench {
namespace {

using cuda::check;

constexpr double kSampleMicroseconds = 400;  // a sample lasts at least this long
constexpr double kStepSampleMicroseconds = 20000;  // so does one of steps, whose launches it covers, too
constexpr std::int64_t kMostRuns = 512;      // nodes of a captured graph
constexpr std::int64_t kColdRuns = 10;       // flushed runs a sample

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "cudaEventCreate"); }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  void record(cudaStream_t stream) const { check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  // Inside a capture: becomes a node of the graph that records at every replay.
  void record_in_graph(cudaStream_t stream) const {
    check(cudaEventRecordWithFlags(event_, stream, cudaEventRecordExternal), "cudaEventRecordWithFlags");
  }
  void wait() const { check(cudaEventSynchronize(event_), "a timed run"); }
  double microseconds_since(const Event& begin) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.event_, event_), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// Replays one graph of many runs between two events. The replay before them hides the launch latency and warms up.
class WarmTimer final : public Timer {
 public:
  WarmTimer(const Run& run, std::int64_t sets, double estimate_us, void* stream)
      : stream_(static_cast<cudaStream_t>(stream)),
        runs_(runs_for(sets, estimate_us)),
        graph_(stream, [&](void* capture) {
          for (std::int64_t i = 0; i < runs_; ++i) run(i % sets, capture);
        }) {}

  double sample() override {
    graph_.replay();
    begin_.record(stream_);
    graph_.replay();
    end_.record(stream_);
    end_.wait();
    return end_.microseconds_since(begin_) / static_cast<double>(runs_);
  }
  std::int64_t runs_per_sample() const override { return runs_; }

 private:
  // Every set equally often.
  static std::int64_t runs_for(std::int64_t sets, double estimate_us) {
    const double rounds = kSampleMicroseconds / (std::max(estimate_us, 0.5) * static_cast<double>(sets));
    const std::int64_t most = std::max<std::int64_t>(kMostRuns / sets, 1);
    return sets * std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(rounds)), 1, most);
  }

  cudaStream_t stream_;
  std::int64_t runs_;
  CudaGraph graph_;
  Event begin_, end_;
};

// Flushes the L2 before every run; events inside the graph time the runs alone.
class ColdTimer final : public Timer {
 public:
  ColdTimer(const Run& run, void* flush, std::int64_t flush_bytes, void* stream)
      : stream_(static_cast<cudaStream_t>(stream)),
        begins_(kColdRuns),
        ends_(kColdRuns),
        graph_(stream, [&](void* capture) {
          const auto captured = static_cast<cudaStream_t>(capture);
          for (std::int64_t i = 0; i < kColdRuns; ++i) {
            check(cudaMemsetAsync(flush, static_cast<int>(i), static_cast<std::size_t>(flush_bytes), captured), "flush");
            begins_[i].record_in_graph(captured);
            run(0, capture);
            ends_[i].record_in_graph(captured);
          }
        }) {}

  double sample() override {
    graph_.replay();
    check(cudaStreamSynchronize(stream_), "a timed run");
    std::vector<double> runs;
    for (std::int64_t i = 0; i < kColdRuns; ++i) runs.push_back(ends_[i].microseconds_since(begins_[i]));
    return median(runs);
  }
  std::int64_t runs_per_sample() const override { return kColdRuns; }

 private:
  cudaStream_t stream_;
  std::vector<Event> begins_, ends_;
  CudaGraph graph_;
};

// Runs between two events, enqueued as they are.
class StepTimer final : public Timer {
 public:
  StepTimer(Run run, double estimate_us, void* stream)
      : run_(std::move(run)),
        stream_(static_cast<cudaStream_t>(stream)),
        runs_(std::max<std::int64_t>(static_cast<std::int64_t>(std::ceil(kStepSampleMicroseconds / std::max(estimate_us, 1.0))), 1)) {}

  double sample() override {
    check(cudaStreamSynchronize(stream_), "a timed run");
    begin_.record(stream_);
    for (std::int64_t i = 0; i < runs_; ++i) run_(0, stream_);
    end_.record(stream_);
    end_.wait();
    return end_.microseconds_since(begin_) / static_cast<double>(runs_);
  }
  std::int64_t runs_per_sample() const override { return runs_; }

 private:
  Run run_;
  cudaStream_t stream_;
  std::int64_t runs_;
  Event begin_, end_;
};

class CudaReference final : public Reference {
 public:
  CudaReference(cuda::DeviceReference reference, void* stream) : reference_(std::move(reference)), stream_(stream) {}
  Comparison compare(const void* y, Precision precision, Layout layout) override {
    return reference_.compare(y, precision, layout, stream_);
  }

 private:
  cuda::DeviceReference reference_;
  void* stream_;
};

std::string pci_bus_id() {
  char id[32];
  check(cudaDeviceGetPCIBusId(id, sizeof id, 0), "cudaDeviceGetPCIBusId");
  return id;
}

class CudaSession final : public Session {
 public:
  CudaSession()
      : allocator_(make_allocator(Device::cuda)), stream_(make_stream()), current_(stream_), nvml_(pci_bus_id()) {
    check(cudaGetDeviceProperties(&properties_, 0), "cudaGetDeviceProperties");
  }

  Device device() const override { return Device::cuda; }
  Execution execution() override { return {.allocator = allocator_.get(), .stream = stream_}; }
  CountingAllocator& allocator() override { return *allocator_; }
  std::int64_t cache_bytes() const override { return properties_.l2CacheSize; }
  std::int64_t memory_bytes() const override { return static_cast<std::int64_t>(properties_.totalGlobalMem); }

  void fill_random(void* x, const Conv2dProblem& problem, Precision precision, Layout layout,
                   std::uint64_t seed) override {
    cuda::random_fill(x, problem, precision, layout, seed, stream_);
  }
  void poison(void* y, std::int64_t bytes) override {
    check(cudaMemsetAsync(y, 0xFF, static_cast<std::size_t>(bytes), stream()), "poisoning the output");
  }
  void synchronize() override { check(cudaStreamSynchronize(stream()), "running on the device"); }

  std::string why_unusable() override {
    cudaGetLastError();  // an error that passed by is gone then, one that stays comes back
    const cudaError_t status = cudaDeviceSynchronize();
    return status == cudaSuccess ? "" : cudaGetErrorString(status);
  }

  std::unique_ptr<Reference> reference_lookup(const LookupProblem& problem, const LookupWeights& weights, const void* x,
                                              Precision precision, Layout layout) override {
    return std::make_unique<CudaReference>(
        cuda::DeviceReference::lookup_conv2d(problem, weights, x, precision, layout, stream_), stream_);
  }
  std::unique_ptr<Reference> reference_conv2d(const Conv2dProblem& problem, const DenseWeights& weights, const void* x,
                                              Precision precision, Layout layout) override {
    return std::make_unique<CudaReference>(
        cuda::DeviceReference::conv2d(problem, weights, x, precision, layout, stream_), stream_);
  }

  std::unique_ptr<Timer> make_timer(const Run& run, std::int64_t sets, TimingMode mode, double estimate_us) override {
    if (mode != TimingMode::cold) {
      return std::make_unique<WarmTimer>(run, mode == TimingMode::rotated ? sets : 1, estimate_us, stream_);
    }
    if (flush_.as<void>() == nullptr) flush_ = Buffer(*allocator_, 2 * cache_bytes(), MemoryKind::workspace);
    return std::make_unique<ColdTimer>(run, flush_.as<void>(), 2 * cache_bytes(), stream_);
  }
  std::unique_ptr<Timer> make_step_timer(const Run& run, double estimate_us) override {
    return std::make_unique<StepTimer>(run, estimate_us, stream_);
  }
  std::optional<ClockReading> read_clocks() override { return nvml_.read(); }

  std::int64_t live_bytes() override { return cuda_allocated_bytes(); }
  std::int64_t peak_bytes() override { return cuda_peak_bytes(); }
  void reset_peak() override { reset_cuda_peak(); }
  void release_cached_memory() override { release_cached_cuda_memory(); }

  MachineLimits measure_limits() override {
    return {.copy_bytes_per_s = copy_rate(),
            .fma_per_s = fma_rate(),
            .tf32_mac_per_s = matmul_rate(Precision::tf32),
            .fp16_mac_per_s = matmul_rate(Precision::fp16),
            .bf16_mac_per_s = matmul_rate(Precision::bf16)};
  }

  std::vector<std::pair<std::string, std::string>> describe() override {
    int runtime = 0;
    check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
    return {{"name", properties_.name},
            {"compute_capability", std::to_string(properties_.major) + "." + std::to_string(properties_.minor)},
            {"multiprocessors", std::to_string(properties_.multiProcessorCount)},
            {"last_level_cache_bytes", std::to_string(cache_bytes())},
            {"memory_bytes", std::to_string(memory_bytes())},
            {"driver", nvml_.driver_version()},
            {"cuda_runtime", std::to_string(runtime)},
            {"cudnn", std::to_string(cudnnGetVersion())}};
  }

 private:
  cudaStream_t stream() const { return static_cast<cudaStream_t>(stream_); }

  // The best of several timings of `enqueue`, which returns its amount of work: work per second.
  template <typename Enqueue>
  double best_rate(const Enqueue& enqueue) {
    const Event begin, end;
    enqueue();
    double best = 0;
    for (int trial = 0; trial < 8; ++trial) {
      begin.record(stream());
      const double work = enqueue();
      end.record(stream());
      end.wait();
      best = std::max(best, work / end.microseconds_since(begin) * 1e6);
    }
    return best;
  }

  double copy_rate() {
    const std::int64_t bytes = std::int64_t{1} << 30;
    const Buffer from(*allocator_, bytes, MemoryKind::workspace), to(*allocator_, bytes, MemoryKind::workspace);
    return best_rate([&] {
      check(cudaMemcpyAsync(to.as<void>(), from.as<void>(), bytes, cudaMemcpyDeviceToDevice, stream()), "copying");
      return 2.0 * static_cast<double>(bytes);
    });
  }

  double fma_rate() {
    const Buffer scratch(*allocator_, 4, MemoryKind::workspace);
    return best_rate([&] { return launch_fma_chains(properties_.multiProcessorCount * 8, scratch.as<float>(), stream_); });
  }

  double matmul_rate(Precision precision) {
    const LibraryMatmul matmul(Device::cuda, 8192, precision);
    return best_rate([&] { return matmul.run(); });
  }

  std::unique_ptr<CountingAllocator> allocator_;
  void* stream_;
  CurrentStream current_;
  NvmlClocks nvml_;
  cudaDeviceProp properties_{};
  Buffer flush_;
};

}  // namespace

std::unique_ptr<Session> detail::open_cuda_session() { return std::make_unique<CudaSession>(); }

}  // namespace lcnn::bench
