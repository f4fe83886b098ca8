// What the matrix units multiply in each precision.
#pragma once

#include "kernels/cuda/dictionary_tile.cuh"
#include "kernels/problem.h"

namespace lcnn::cuda {

// Calls function(Math{}) with what `precision` multiplies.
template <typename Function>
void with_math(Precision precision, Function&& function) {
  switch (precision) {
    case Precision::fp32: return function(lcnn_device::Strict{});
    case Precision::tf32: return function(lcnn_device::Tf32{});
    case Precision::fp16: return function(lcnn_device::Half{});
    case Precision::bf16: return function(lcnn_device::Bfloat{});
  }
}

}  // namespace lcnn::cuda
