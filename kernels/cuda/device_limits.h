// What kernels are sized by, of the current device.
#pragma once

#include "kernels/cuda/check.h"

namespace lcnn::cuda {

inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

struct DeviceLimits {
  int shared_bytes = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);  // that a block can have
  int multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount);
};

}  // namespace lcnn::cuda
