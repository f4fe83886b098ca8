#include "variants/runtime.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/cpu/Utils.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>
#include <omp.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <new>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "profiles/recorder.h"
#include "variants/tensor_view.h"

#if LCNN_HAS_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#endif

namespace lcnn {
namespace {

constexpr std::size_t kAlignment = 256;

// Keeps the size and kind of every live allocation; derived classes take and return the memory.
class TrackingAllocator : public CountingAllocator {
 public:
  void* allocate(std::int64_t bytes, MemoryKind kind) override {
    void* pointer = take(static_cast<std::size_t>(bytes));
    allocations_[pointer] = {bytes, kind};
    live_[static_cast<std::size_t>(kind)] += bytes;
    observe(pointer, bytes);
    return pointer;
  }
  void release(void* pointer) noexcept override {
    const auto found = allocations_.find(pointer);
    live_[static_cast<std::size_t>(found->second.second)] -= found->second.first;
    observe(pointer, -found->second.first);
    allocations_.erase(found);
    give_back(pointer);
  }

 private:
  virtual void* take(std::size_t bytes) = 0;
  virtual void give_back(void* pointer) noexcept = 0;
  virtual void observe(void*, std::int64_t) const {}  // what was taken (bytes > 0) or is given back, for profiles
  std::unordered_map<void*, std::pair<std::int64_t, MemoryKind>> allocations_;
};

class HostAllocator final : public TrackingAllocator {
  void* take(std::size_t bytes) override {
    const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
    void* pointer = std::aligned_alloc(kAlignment, rounded);
    if (pointer == nullptr) throw std::bad_alloc();
    return pointer;
  }
  void give_back(void* pointer) noexcept override { std::free(pointer); }
  // Device memory comes from LibTorch, which profiles see already.
  void observe(void* pointer, std::int64_t bytes) const override {
    if (!profiles::recording()) return;
    profiles::record(profiles::MemoryEvent{.time_ns = profiles::now_ns(), .address = reinterpret_cast<std::uintptr_t>(pointer),
                                           .bytes = bytes, .live_bytes = live_bytes()},
                     "variants on the CPU");
  }
};

#if LCNN_HAS_CUDA
class CudaAllocator final : public TrackingAllocator {
  void* take(std::size_t bytes) override {
    return c10::cuda::CUDACachingAllocator::raw_alloc(std::max<std::size_t>(bytes, 1));
  }
  void give_back(void* pointer) noexcept override { c10::cuda::CUDACachingAllocator::raw_delete(pointer); }
};
#endif

}  // namespace

std::unique_ptr<CountingAllocator> make_allocator(Device device) {
  if (device == Device::cpu) return std::make_unique<HostAllocator>();
  if (const std::string reason = why_no_cuda(); !reason.empty()) throw std::runtime_error(reason);
#if LCNN_HAS_CUDA
  at::globalContext().lazyInitDevice(at::kCUDA);  // the caching allocator has no device before
  return std::make_unique<CudaAllocator>();
#else
  return nullptr;
#endif
}

void library_gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_pitch, const float* b,
                  std::int64_t b_pitch, float* c, std::int64_t c_pitch) {
  const c10::InferenceMode no_autograd;
  at::Tensor result = at::from_blob(c, {m, n}, {c_pitch, 1}, at::kFloat);
  at::mm_out(result, at::from_blob(const_cast<float*>(a), {m, k}, {a_pitch, 1}, at::kFloat),
             at::from_blob(const_cast<float*>(b), {k, n}, {b_pitch, 1}, at::kFloat));
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

void set_threads(int threads) {
  at::set_num_threads(threads);
  omp_set_num_threads(threads);
}

int threads() { return at::get_num_threads(); }

std::string why_no_cpu_convolution(Precision precision) {
  if (precision == Precision::fp32) return {};
  if (precision != Precision::bf16) return std::string(to_string(precision)) + " is not supported, fp32 and bf16 are";
  // What LibTorch itself asks for before it gives bf16 to oneDNN.
  const auto capabilities = at::cpu::get_cpu_capabilities();
  const auto has = [&](const char* name) {
    const auto found = capabilities.find(name);
    return found != capabilities.end() && found->second.isBool() && found->second.toBool();
  };
  if (has("avx512_bw") && has("avx512_vl") && has("avx512_dq")) return {};
  if (has("avx_ne_convert") || has("arm_bf16")) return {};
  return "LibTorch has no bf16 convolution by oneDNN on this processor: it takes AVX-512, AVX-NE-CONVERT or Arm's bf16 instructions";
}

std::string why_no_cpu_convolution(const Conv2dProblem& conv, Precision precision) {
  if (std::string reason = why_no_cpu_convolution(precision); !reason.empty()) return reason;
  // oneDNN of LibTorch 2.11 reads beyond such rows with AMX: 152 of 4,000 random problems gave numbers of 1e18 or crashed, all of them these.
  if (precision == Precision::bf16 && conv.stride[1] > 1 && (conv.out_width() == 1 || (conv.kernel[1] == 1 && conv.padding[1] > 0))) {
    return "the library's bf16 is wrong for one output column, or a kernel of one column with padding, under a horizontal stride";
  }
  return {};
}

struct LibraryMatmul::Operands {
  at::Tensor a, b, c;
};

LibraryMatmul::LibraryMatmul(Device device, std::int64_t extent, Precision precision) : operands_(new Operands) {
  const c10::InferenceMode no_autograd;
  const auto options = at::TensorOptions().dtype(scalar_type(precision)).device(device == Device::cuda ? at::kCUDA : at::kCPU);
  operands_->a = at::randn({extent, extent}, options);
  operands_->b = at::randn({extent, extent}, options);
  operands_->c = at::empty({extent, extent}, options);
}
LibraryMatmul::~LibraryMatmul() = default;

double LibraryMatmul::run() const {
  const c10::InferenceMode no_autograd;
  const bool tf32_before = at::globalContext().allowTF32CuBLAS();
  at::globalContext().setAllowTF32CuBLAS(true);
  at::mm_out(operands_->c, operands_->a, operands_->b);
  at::globalContext().setAllowTF32CuBLAS(tf32_before);
  const auto extent = static_cast<double>(operands_->c.size(0));
  return extent * extent * extent;
}

#if LCNN_HAS_CUDA

std::string why_no_cuda() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status != cudaSuccess) {
    cudaGetLastError();
    return std::string("no CUDA device can be used: ") + cudaGetErrorString(status);
  }
  if (devices == 0) return "no CUDA device was found";
  cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess) return "the CUDA device does not answer";
  if (properties.major < 8) {
    return "compute capability " + std::to_string(properties.major) + "." + std::to_string(properties.minor) +
           " is too old: 8.0 and up are supported";
  }
  return {};
}

void* make_stream() { return c10::cuda::getStreamFromPool(/*isHighPriority=*/true).stream(); }

struct CurrentStream::Guard {
  c10::cuda::CUDAStreamGuard guard;
};

CurrentStream::CurrentStream(void* stream)
    : guard_(new Guard{c10::cuda::CUDAStreamGuard(
          c10::cuda::getStreamFromExternal(static_cast<cudaStream_t>(stream), c10::cuda::current_device()))}) {}
CurrentStream::~CurrentStream() = default;

struct CudaGraph::Implementation {
  void* stream;
  at::cuda::CUDAGraph graph;
};

CudaGraph::CudaGraph(void* stream, const std::function<void(void* stream)>& enqueue)
    : implementation_(new Implementation{stream, {}}) {
  const CurrentStream current(stream);
  implementation_->graph.capture_begin();
  try {
    enqueue(stream);
  } catch (...) {
    try {
      implementation_->graph.capture_end();  // the capture may already be invalid: the first error is the one to tell
    } catch (...) {
    }
    cudaGetLastError();
    throw;
  }
  implementation_->graph.capture_end();
}
CudaGraph::~CudaGraph() = default;
CudaGraph::CudaGraph(CudaGraph&&) noexcept = default;

void CudaGraph::replay() {
  const CurrentStream current(implementation_->stream);
  implementation_->graph.replay();
}

std::int64_t cuda_allocated_bytes() {
  return c10::cuda::CUDACachingAllocator::getDeviceStats(c10::cuda::current_device()).requested_bytes[0].current;
}

std::int64_t cuda_peak_bytes() {
  return c10::cuda::CUDACachingAllocator::getDeviceStats(c10::cuda::current_device()).requested_bytes[0].peak;
}

void reset_cuda_peak() { c10::cuda::CUDACachingAllocator::resetPeakStats(c10::cuda::current_device()); }

void release_cached_cuda_memory() { c10::cuda::CUDACachingAllocator::emptyCache(); }

#else

std::string why_no_cuda() { return "this build has no CUDA: it was configured without nvcc"; }

#endif

void finish_process(int exit_code) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  std::_Exit(exit_code);
}

std::string libtorch_version() { return TORCH_VERSION; }

}  // namespace lcnn
