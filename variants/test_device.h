// Runs a variant for a test: poisoned output, host vectors in and out in NCHW whatever the layout.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "kernels/stored_values.h"
#include "kernels/test_problems.h"
#include "kernels/variant.h"
#include "variants/runtime.h"
#if LCNN_HAS_CUDA
#include "kernels/cuda/weights_upload.h"
#endif

namespace lcnn {

// What half an ulp at every store, and sums of some hundred terms, may cost; a wrong index costs about 1.
inline double tolerance(Precision precision) {
  switch (precision) {
    case Precision::fp32: return 2e-6;
    case Precision::tf32: return 2e-3;
    case Precision::fp16: return 2e-3;
    case Precision::bf16: return 1.6e-2;
  }
  return 0;
}

// Hands out memory full of NaN: what a variant reads before anything was written there shows in its result.
class PoisoningAllocator final : public Allocator {
 public:
  explicit PoisoningAllocator(Device device) : device_(device), memory_(make_allocator(device)) {}

  void* allocate(std::int64_t bytes, MemoryKind kind) override {
    void* pointer = memory_->allocate(bytes, kind);
    if (device_ == Device::cpu) std::memset(pointer, 0xFF, bytes);
#if LCNN_HAS_CUDA
    if (device_ == Device::cuda) {
      cuda::check(cudaMemset(pointer, 0xFF, bytes), "poisoning");
      cuda::check(cudaDeviceSynchronize(), "poisoning");
    }
#endif
    return pointer;
  }
  void release(void* pointer) noexcept override { memory_->release(pointer); }

 private:
  Device device_;
  std::unique_ptr<CountingAllocator> memory_;
};

class TestDevice {
 public:
  // Libraries tune for seconds a problem.
  TestDevice(Device device, Tuning tuning) : device_(device), tuning_(tuning), allocator_(device) {
#if LCNN_HAS_CUDA
    if (device == Device::cuda) stream_ = make_stream();
#endif
  }

  // y [batch, out_channels, out_height, out_width] of the test's input. On CUDA also through a captured graph, whose
  // result must be the same to the bit.
  std::vector<float> run(const Variant& variant, const TestProblem& test, const LookupWeights& weights,
                         Precision precision, Layout layout) {
    const Conv2dProblem& conv = test.problem.conv;
    std::vector<float> x = test.input(precision);
    if (layout == Layout::nhwc) x = transposed(x, conv.batch, conv.in_channels);
    const Execution execution{.allocator = &allocator_, .stream = stream_, .host_gemm = library_gemm, .tuning = tuning_};
    const auto prepared = variant.prepare(test.problem, weights, precision, layout, execution);
    std::vector<float> y = device_ == Device::cpu ? run_on_cpu(*prepared, conv, x, precision)
                                                  : run_on_cuda(*prepared, conv, x, precision);
    return layout == Layout::nhwc ? transposed(y, conv.batch, conv.out_height() * conv.out_width()) : y;
  }

 private:
  static std::vector<float> run_on_cpu(PreparedConvolution& prepared, const Conv2dProblem& conv, const std::vector<float>& x, Precision precision) {
    std::vector<char> input(x.size() * element_bytes(precision)), y(conv.output_elements() * element_bytes(precision));
    store_values(x, precision, input.data());
    std::memset(y.data(), 0xFF, y.size());
    prepared.adopt_input(input.data(), nullptr);
    prepared.run(input.data(), y.data(), nullptr);
    prepared.emit_output(y.data(), nullptr);
    return load_values(y.data(), conv.output_elements(), precision);
  }

#if LCNN_HAS_CUDA
  std::vector<float> run_on_cuda(PreparedConvolution& prepared, const Conv2dProblem& conv, const std::vector<float>& x,
                                 Precision precision) {
    const auto stream = static_cast<cudaStream_t>(stream_);
    const Execution execution{.allocator = &allocator_, .stream = stream_};
    const Buffer input = cuda::upload_as(x, precision, MemoryKind::workspace, execution);
    const std::int64_t bytes = conv.output_elements() * element_bytes(precision);
    const Buffer output(allocator_, bytes, MemoryKind::workspace);
    std::vector<char> host(bytes);
    const auto fetch = [&](auto&& enqueue) {
      cuda::check(cudaMemsetAsync(output.as<void>(), 0xFF, bytes, stream), "poisoning");
      enqueue();
      prepared.emit_output(output.as<void>(), stream_);
      cuda::check(cudaMemcpyAsync(host.data(), output.as<void>(), bytes, cudaMemcpyDeviceToHost, stream), "fetching");
      cuda::check(cudaStreamSynchronize(stream), "running");
      return host;
    };
    const std::vector<char> direct = fetch([&] { prepared.run(input.as<void>(), output.as<void>(), stream_); });
    CudaGraph graph(stream_, [&](void* capture) { prepared.run(input.as<void>(), output.as<void>(), capture); });
    const std::vector<char> replayed = fetch([&] { graph.replay(); });
    EXPECT_TRUE(direct == replayed) << "a run and its replay as a graph differ";
    return load_values(direct.data(), conv.output_elements(), precision);
  }
#else
  std::vector<float> run_on_cuda(PreparedConvolution&, const Conv2dProblem&, const std::vector<float>&, Precision) {
    return {};
  }
#endif

  Device device_;
  Tuning tuning_;
  PoisoningAllocator allocator_;
  void* stream_ = nullptr;
};

}  // namespace lcnn
