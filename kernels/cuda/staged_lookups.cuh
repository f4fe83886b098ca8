// A block's lookups in shared memory, decoded once for all of its pixels.
#pragma once

#include "kernels/cuda/training_element.cuh"

namespace lcnn::cuda {

// One lookup as a pixel reads it: the plane it reads from, and by how much and from how far.
template <typename T>
struct StagedLookup {
  int plane;               // of S in the output's direction, of dY in the gradient's
  int row_shift, column_shift;  // r * dilation - padding
  Sum<T> coefficient;
};

// The row of the table, in [first, last), that lookup i belongs to.
__device__ inline int row_of_lookup(const std::int32_t* row_offsets, int first, int last, int i) {
  while (last - first > 1) {
    const int middle = (first + last) / 2;
    if (row_offsets[middle] <= i) first = middle;
    else last = middle;
  }
  return first;
}

__device__ inline int row_shift(const StageShape& stage, int tap) {
  return tap / stage.kernel_w * stage.dilation_h - stage.padding_h;
}
__device__ inline int column_shift(const StageShape& stage, int tap) {
  return tap % stage.kernel_w * stage.dilation_w - stage.padding_w;
}

}  // namespace lcnn::cuda
