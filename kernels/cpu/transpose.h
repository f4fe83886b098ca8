// Matrices turned over, in blocks held in registers.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"

namespace lcnn::cpu {

// to [columns][rows] = from [rows][columns] transposed; rows of `from` lie from_pitch apart, those of `to` to_pitch. Of floats or
// Bf16; floats come from Bf16 without a loss, and are rounded to it. Doubles are moved one by one.
template <typename From, typename To>
void transpose(const From* from, std::int64_t rows, std::int64_t columns, std::int64_t from_pitch, To* to, std::int64_t to_pitch);

}  // namespace lcnn::cpu
