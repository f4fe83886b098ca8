// A kernel compiled at run time, cached on disk by its source, architecture and compiler version.
//
// Source: NVRTC (docs.nvidia.com/cuda/nvrtc) and the runtime's library API (cudaLibraryLoadData).
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace lcnn::cuda {

// The binary of `source` for `target` ("sm_90a"); needs no GPU. Throws std::runtime_error with the first error.
std::vector<char> nvrtc_compile(const std::string& source, const std::string& target);

// The binary of `source` for the current device: compiled, or from cache_folder(), where it is kept. Threads may call it
// side by side. Throws std::runtime_error with the compiler's first error.
std::vector<char> nvrtc_binary(const std::string& source);

// Thrown for a kernel that needs more registers than a thread has: the caller takes a smaller tile.
class RegistersSpilled : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class NvrtcKernel {
 public:
  // Loads the nvrtc_binary() of `source`. `name` is the kernel's, extern "C". Throws std::runtime_error with the compiler's first error, RegistersSpilled for a kernel that spills.
  NvrtcKernel(const std::string& source, const std::string& name, int dynamic_shared_bytes);
  NvrtcKernel(NvrtcKernel&& other) noexcept;
  NvrtcKernel& operator=(NvrtcKernel&&) = delete;
  ~NvrtcKernel();

  // Enqueues a launch. With `overlap` it may begin before the kernel ahead of it on the stream ends: it must then wait
  // by griddepcontrol.wait before it reads what that kernel wrote.
  void launch(dim3 grid, dim3 block, void** arguments, bool overlap, cudaStream_t stream) const;

  std::int64_t code_bytes() const { return code_bytes_; }
  int registers() const { return registers_; }
  // Blocks of `threads` threads that a multiprocessor of the current device holds at once.
  int resident_blocks(int threads) const;
  // Clusters of `blocks` blocks, as the kernel declares them, that the whole device holds at once: its processors' groups are no multiple of every size.
  int resident_clusters(int threads, int blocks) const;

 private:
  cudaLibrary_t library_ = nullptr;
  cudaKernel_t kernel_ = nullptr;
  int dynamic_shared_bytes_ = 0, registers_ = 0;
  std::int64_t code_bytes_ = 0;
};

}  // namespace lcnn::cuda
