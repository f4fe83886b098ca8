// Which of several run-time-compiled kernels a variant takes: by guess, from the tuning cache, or by measuring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/variant.h"

namespace lcnn::cuda {

// Candidates are numbered, best guess first.
struct KernelSearch {
  std::string variant;     // and what it is made for: the choice is kept under these and the device's name
  LookupProblem problem;
  Precision precision;
  std::int64_t lookups;
  std::string kernel_name;  // of the extern "C" function

  std::size_t candidates = 0;
  std::function<std::string(std::size_t)> tile;    // one word that identifies it among all candidates
  std::function<std::string(std::size_t)> source;
  std::function<int(std::size_t)> shared_bytes;
  // Enqueues a run on input and output; scratch and parameters are the caller's.
  std::function<void(std::size_t, const NvrtcKernel&, const void* input, void* output, void* stream)> run;
  // What `run` takes: an input of this problem in this precision, and output_bytes of memory.
  Conv2dProblem input;
  Precision input_precision = Precision::fp32;
  std::int64_t output_bytes = 0;
};

struct KernelChoice {
  std::size_t candidate;
  NvrtcKernel kernel;
  std::string how;  // "as tuned", "fastest of 12 tiles" or "by guess", for the report
};

// With Tuning::everything the first candidates are compiled side by side and timed over buffers that exceed the L2, and the
// fastest is kept in the tuning cache. Otherwise what the cache holds, else the first that needs no more registers than a
// thread and no more shared memory than a block has. Throws Unsupported when every candidate tried needs more.
KernelChoice choose_kernel(const KernelSearch& search, const Execution& execution);

}  // namespace lcnn::cuda
