// CUDA calls that throw: every return code is looked at.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace lcnn::cuda {

// Throws std::runtime_error naming `what` and CUDA's own description.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it, so that it is not reported again for a later call
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

// After a kernel launch: reports a launch that was refused.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

}  // namespace lcnn::cuda
