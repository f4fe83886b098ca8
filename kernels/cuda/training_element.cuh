// How training kernels read and write their element types, and where the elements of a batch are.
#pragma once

#include <type_traits>

#include "kernels/cuda/element.cuh"
#include "kernels/cuda/stage_shape.h"
#include "kernels/cuda/training.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {

template <typename T>
__device__ Sum<T> widen(T value) {
  if constexpr (std::is_same_v<T, double>) return value;
  else return to_float(value);
}

template <typename T>
__device__ T narrow(Sum<T> value) {
  if constexpr (std::is_same_v<T, double>) return value;
  else return from_float<T>(value);
}

// One pixel of one image of a batch of planes [height, width].
struct BatchPixel {
  int image, row, column;
};

__device__ inline BatchPixel batch_pixel(unsigned index, unsigned height, unsigned width) {
  const unsigned line = index / width;
  return {static_cast<int>(line / height), static_cast<int>(line % height), static_cast<int>(index % width)};
}

// Whether 0 <= coordinate < extent.
__device__ inline bool inside(int coordinate, int extent) { return static_cast<unsigned>(coordinate) < static_cast<unsigned>(extent); }

// The output row (column) whose kernel tap `shift` = r * dilation - padding meets input row h; -1 where there is none.
__device__ inline int output_meeting(int h, int shift, int stride, int out_extent) {
  const int reach = h - shift;
  if (reach < 0) return -1;
  const int p = stride == 1 ? reach : reach / stride;
  return p < out_extent && p * stride == reach ? p : -1;
}

inline unsigned blocks_of(std::int64_t elements, std::int64_t per_block) {
  return static_cast<unsigned>((elements + per_block - 1) / per_block);
}

}  // namespace lcnn::cuda
