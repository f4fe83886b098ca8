// Matrices turned over, in blocks held in registers.
#pragma once

#include <cstdint>

namespace lcnn::cpu {

// to [columns][rows] = from [rows][columns] transposed; rows of `from` lie from_pitch apart, those of `to` to_pitch.
void transpose(const float* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, float* to, std::int64_t to_pitch);

}  // namespace lcnn::cpu
