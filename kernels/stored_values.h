// Values in host memory as a precision stores them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/problem.h"

namespace lcnn {

// stored [values.size()]: fp32 and tf32 as floats, fp16 and bf16 as 16 bits, for which they are rounded.
void store_values(std::span<const float> values, Precision precision, void* stored);

std::vector<float> load_values(const void* stored, std::int64_t count, Precision precision);

}  // namespace lcnn
