#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "bench/elapsed.h"
#include "bench/fma_chains.h"
#include "bench/host_allocation_counter.h"
#include "bench/session.h"
#include "bench/statistics.h"
#include "kernels/cpu/simd_target.h"
#include "kernels/random.h"
#include "kernels/stored_values.h"

namespace lcnn::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSampleMicroseconds = 2000;           // a sample lasts at least this long
constexpr std::int64_t kFallbackCacheBytes = 32 << 20;  // where the system does not tell

class CpuReference final : public Reference {
 public:
  CpuReference(const Conv2dProblem& problem, std::vector<double> values)
      : problem_(problem), values_(std::move(values)) {}

  Comparison compare(const void* y, Precision precision, Layout layout) override {
    const std::vector<float> stored = load_values(y, std::ssize(values_), precision);
    if (layout == Layout::nchw) return lcnn::compare(stored, values_);
    const std::int64_t channels = problem_.out_channels, pixels = problem_.out_height() * problem_.out_width();
    std::vector<float> nchw(values_.size());
    for (std::int64_t n = 0; n < problem_.batch; ++n) {
      for (std::int64_t k = 0; k < channels; ++k) {
        for (std::int64_t p = 0; p < pixels; ++p) {
          nchw[(n * channels + k) * pixels + p] = stored[(n * pixels + p) * channels + k];
        }
      }
    }
    return lcnn::compare(nchw, values_);
  }

 private:
  Conv2dProblem problem_;
  std::vector<double> values_;
};

// Runs back to back on a steady clock; `cold` writes over the caches before every run, outside the clock.
class CpuTimer final : public Timer {
 public:
  CpuTimer(Run run, std::int64_t sets, TimingMode mode, double estimate_us, std::vector<char>& flush)
      : run_(std::move(run)), sets_(mode == TimingMode::rotated ? sets : 1), cold_(mode == TimingMode::cold), flush_(flush) {
    const auto wanted = static_cast<std::int64_t>(std::ceil(kSampleMicroseconds / std::max(estimate_us, 0.1)));
    runs_ = cold_ ? std::clamp<std::int64_t>(wanted, 1, 8) : std::clamp<std::int64_t>(wanted, 1, 10000);
  }

  double sample() override {
    double total = 0;
    Clock::time_point begin = Clock::now();
    for (std::int64_t i = 0; i < runs_; ++i) {
      if (cold_) {
        std::memset(flush_.data(), static_cast<int>(i), flush_.size());
        begin = Clock::now();
      }
      run_(next_++ % sets_, nullptr);
      if (cold_) total += microseconds_since(begin);
    }
    return (cold_ ? total : microseconds_since(begin)) / static_cast<double>(runs_);
  }

  std::int64_t runs_per_sample() const override { return runs_; }

 private:
  Run run_;
  std::int64_t sets_, runs_ = 1, next_ = 0;
  bool cold_;
  std::vector<char>& flush_;
};

class CpuSession final : public Session {
 public:
  explicit CpuSession(int threads) : allocator_(make_allocator(Device::cpu)) {
    set_threads(threads > 0 ? threads : static_cast<int>(std::thread::hardware_concurrency()));
    // Freed blocks are kept, so that no implementation pays for page faults that a warm program would not have.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, -1);
  }

  Device device() const override { return Device::cpu; }
  Execution execution() override { return {.allocator = allocator_.get(), .host_gemm = library_gemm}; }
  CountingAllocator& allocator() override { return *allocator_; }

  std::int64_t cache_bytes() const override {
    const std::int64_t bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return bytes > 0 ? bytes : kFallbackCacheBytes;
  }
  std::int64_t memory_bytes() const override {
    return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  }

  void fill_random(void* x, const Conv2dProblem& p, Precision precision, Layout layout, std::uint64_t seed) override {
    std::vector<float> values(p.input_elements());
    const std::int64_t pixels = p.height * p.width;
#pragma omp parallel for collapse(2)
    for (std::int64_t n = 0; n < p.batch; ++n) {
      for (std::int64_t c = 0; c < p.in_channels; ++c) {
        for (std::int64_t i = 0; i < pixels; ++i) {
          const std::int64_t nchw = (n * p.in_channels + c) * pixels + i;
          const std::int64_t at = layout == Layout::nchw ? nchw : (n * pixels + i) * p.in_channels + c;
          values[at] = random_value(seed, static_cast<std::uint64_t>(nchw));
        }
      }
    }
    store_values(values, precision, x);
  }
  void poison(void* y, std::int64_t bytes) override { std::memset(y, 0xFF, static_cast<std::size_t>(bytes)); }
  void synchronize() override {}
  std::string why_unusable() override { return {}; }

  std::unique_ptr<Reference> reference_lookup(const LookupProblem& problem, const LookupWeights& weights, const void* x,
                                              Precision precision, Layout) override {
    return std::make_unique<CpuReference>(problem.conv,
                                          reference_lookup_conv2d(problem, weights, widened(problem.conv, x, precision)));
  }
  std::unique_ptr<Reference> reference_conv2d(const Conv2dProblem& problem, const DenseWeights& weights, const void* x,
                                              Precision precision, Layout) override {
    return std::make_unique<CpuReference>(
        problem, lcnn::reference_conv2d(problem, widened(problem, x, precision), weights.weight, weights.bias));
  }

  std::unique_ptr<Timer> make_timer(const Run& run, std::int64_t sets, TimingMode mode, double estimate_us) override {
    if (mode == TimingMode::cold) flush_.resize(static_cast<std::size_t>(2 * cache_bytes()));
    return std::make_unique<CpuTimer>(run, sets, mode, estimate_us, flush_);
  }
  std::unique_ptr<Timer> make_step_timer(const Run& run, double estimate_us) override {
    return std::make_unique<CpuTimer>(run, 1, TimingMode::hot, estimate_us, flush_);
  }
  std::optional<ClockReading> read_clocks() override { return std::nullopt; }

  std::int64_t live_bytes() override { return host_live_bytes(); }
  std::int64_t peak_bytes() override { return host_peak_bytes(); }
  void reset_peak() override { reset_host_peak(); }
  void release_cached_memory() override {}

  MachineLimits measure_limits() override {
    return {.copy_bytes_per_s = copy_rate(), .fma_per_s = fma_rate(),
            .bf16_mac_per_s = why_no_cpu_convolution(Precision::bf16).empty() ? matmul_rate(Precision::bf16) : 0};
  }

  std::vector<std::pair<std::string, std::string>> describe() override {
    return {{"name", processor_name()}, {"threads", std::to_string(threads())},
            {"simd_target", cpu::simd_target()},
            {"last_level_cache_bytes", std::to_string(cache_bytes())}, {"memory_bytes", std::to_string(memory_bytes())}};
  }

 private:
  // References are always asked for NCHW inputs.
  static std::vector<double> widened(const Conv2dProblem& problem, const void* x, Precision precision) {
    const std::vector<float> values = load_values(x, problem.input_elements(), precision);
    return {values.begin(), values.end()};
  }

  double copy_rate() const {
    const std::int64_t bytes = 2 * cache_bytes();
    std::vector<char> from(static_cast<std::size_t>(bytes), 1), to(from);
    const std::int64_t slice = bytes / threads();
    std::vector<double> rates;
    for (int trial = 0; trial < 7; ++trial) {
      const auto begin = Clock::now();
#pragma omp parallel for schedule(static)
      for (int t = 0; t < threads(); ++t) std::memcpy(to.data() + t * slice, from.data() + t * slice, slice);
      rates.push_back(2.0 * static_cast<double>(slice) * threads() / microseconds_since(begin) * 1e6);
    }
    return median(rates);
  }

  double fma_rate() const {
    std::vector<double> rates;
    for (int trial = 0; trial < 7; ++trial) {
      double done = 0;
      const auto begin = Clock::now();
#pragma omp parallel for schedule(static) reduction(+ : done)
      for (int t = 0; t < threads(); ++t) done += run_fma_chains(400000);
      rates.push_back(done / microseconds_since(begin) * 1e6);
    }
    return *std::ranges::max_element(rates);
  }

  static double matmul_rate(Precision precision) {
    const LibraryMatmul matmul(Device::cpu, 2048, precision);
    std::vector<double> rates;
    for (int trial = 0; trial < 5; ++trial) {
      const auto begin = Clock::now();
      const double done = matmul.run();
      rates.push_back(done / microseconds_since(begin) * 1e6);
    }
    return *std::ranges::max_element(rates);
  }

  std::unique_ptr<CountingAllocator> allocator_;
  std::vector<char> flush_;
};

}  // namespace

std::unique_ptr<Session> detail::open_cpu_session(int threads) { return std::make_unique<CpuSession>(threads); }

}  // namespace lcnn::bench
