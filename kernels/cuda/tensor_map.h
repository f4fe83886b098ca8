// Descriptions of channels-last tensors for tiled copies.
//
// Source: CUDA driver API, tensor map object management (cuTensorMapEncodeTiled).
#pragma once

#include <cuda.h>

#include <array>
#include <cstdint>

#include "kernels/problem.h"

namespace lcnn::cuda {

// How a tensor of `precision` is copied: as it is, or with `round` rounded to what the matrix units take.
CUtensorMapDataType copied_type(Precision precision, bool round);

// What a copy takes at once.
struct TensorBox {
  int columns, rows, images = 1;
  int channel_bytes = 128;  // 32, 64 or 128, in the order of the swizzle of as many bytes
};

// A tensor [batch][height][width][channels]. Throws std::runtime_error where the driver refuses one.
CUtensorMap tensor_map(const void* tensor, CUtensorMapDataType type, std::array<std::int64_t, 4> extents, const TensorBox& box);

}  // namespace lcnn::cuda
