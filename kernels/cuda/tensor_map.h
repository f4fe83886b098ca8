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

// A tensor [batch][height][width][channels] in boxes of 128 bytes of channels x columns x rows x images, swizzled by 128 bytes.
// Throws std::runtime_error where the driver refuses one.
CUtensorMap tensor_map(const void* tensor, CUtensorMapDataType type, std::array<std::int64_t, 4> extents, int columns, int rows, int images = 1);

}  // namespace lcnn::cuda
