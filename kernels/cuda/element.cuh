// Stored element types and how device code reads and writes them; everything is summed in fp32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/problem.h"

namespace lcnn::cuda {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
__device__ T from_float(float value);
template <>
__device__ inline float from_float<float>(float value) { return value; }
template <>
__device__ inline __half from_float<__half>(float value) { return __float2half_rn(value); }
template <>
__device__ inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) { return __float2bfloat16_rn(value); }

// Calls function(T{}) with the type that `precision` stores.
template <typename Function>
auto with_element(Precision precision, Function&& function) {
  switch (precision) {
    case Precision::fp16: return function(__half{});
    case Precision::bf16: return function(__nv_bfloat16{});
    default: return function(float{});
  }
}

}  // namespace lcnn::cuda
