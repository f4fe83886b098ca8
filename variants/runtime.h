// What the host application gives variants to run with: memory, a stream, the library's GEMM, CUDA graphs.
//
// LibTorch is behind it, none of its headers are: programs that include this compile quickly.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/variant.h"

namespace lcnn {

// Hands out memory of a device and knows how much of each kind is live.
class CountingAllocator : public Allocator {
 public:
  std::int64_t live_bytes(MemoryKind kind) const { return live_[static_cast<std::size_t>(kind)]; }
  std::int64_t live_bytes() const { return live_[0] + live_[1] + live_[2]; }

 protected:
  std::array<std::int64_t, 3> live_{};
};

// CPU: aligned host memory. CUDA: LibTorch's caching allocator, so that its statistics see everything.
// Throws std::runtime_error when the device is not there.
std::unique_ptr<CountingAllocator> make_allocator(Device device);

// LibTorch's single-precision GEMM.
void library_gemm(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t a_pitch, const float* b,
                  std::int64_t b_pitch, float* c, std::int64_t c_pitch);

// Threads of LibTorch and of OpenMP, which our CPU kernels use.
void set_threads(int threads);
int threads();

// "AMD EPYC 9654 96-Core Processor"
std::string processor_name();

// Empty when a CUDA device can be used, else why not, in one sentence.
std::string why_no_cuda();

// Empty where LibTorch's convolutions on this processor are oneDNN's in `precision`, fp32 or bf16; else why not, in one sentence.
std::string why_no_cpu_convolution(Precision precision);
// The same of one convolution, some of which the library gets wrong.
std::string why_no_cpu_convolution(const Conv2dProblem& conv, Precision precision);

// The library's square matrix product on random data: what the matrix units give.
class LibraryMatmul {
 public:
  LibraryMatmul(Device device, std::int64_t extent, Precision precision);
  ~LibraryMatmul();
  double run() const;  // computes one, on CUDA enqueues it on LibTorch's current stream; returns its multiply-accumulates

 private:
  struct Operands;
  std::unique_ptr<Operands> operands_;
};

#if LCNN_HAS_CUDA
// A stream of LibTorch's pool, as cudaStream_t; its current stream while a CurrentStream lives.
void* make_stream();

// Makes `stream` LibTorch's current one for a scope.
class CurrentStream {
 public:
  explicit CurrentStream(void* stream);
  ~CurrentStream();

 private:
  struct Guard;
  std::unique_ptr<Guard> guard_;
};

// Work captured once and replayed: allocations of LibTorch operators during the capture come from a pool of its own.
class CudaGraph {
 public:
  // Calls enqueue(stream) under capture. Throws what enqueue throws, or c10::Error when something in it cannot be
  // captured.
  CudaGraph(void* stream, const std::function<void(void* stream)>& enqueue);
  ~CudaGraph();
  CudaGraph(CudaGraph&&) noexcept;

  void replay();  // enqueues on the stream of the capture

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// LibTorch's caching allocator, current device, in bytes.
std::int64_t cuda_allocated_bytes();
std::int64_t cuda_peak_bytes();  // since the last reset
void reset_cuda_peak();
void release_cached_cuda_memory();
#endif

// Ends the process without static destructors: LibTorch's deregister operators after the C++ runtime's own state is
// gone, which crashes on some systems. Flushes the standard streams.
[[noreturn]] void finish_process(int exit_code);

// "2.11.0"
std::string libtorch_version();

}  // namespace lcnn
