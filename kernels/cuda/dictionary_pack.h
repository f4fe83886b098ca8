// D in the order in which the lanes of dictionary_tile.cuh read it.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/problem.h"

namespace lcnn::cuda {

// tf32 keeps 10 bits of the mantissa: round to nearest, as cvt.rna does for X.
inline float tf32_of(float value) { return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000u) & 0xFFFFE000u); }

// [step][entry tile of 16][term][lane][4 registers]: one 16-byte load a lane, tile and term. fp16 and bf16 steps are 16
// channels wide, tf32 and fp32 ones 8; fp32 has two terms, the nearest tf32 and the rest. `dictionary` is
// D [out_channels, in_channels] of the stage, rounded to `precision`; entries and channels beyond it are zero.
std::vector<std::uint32_t> pack_dictionary(const Conv2dProblem& stage, std::span<const float> dictionary,
                                           Precision precision);

}  // namespace lcnn::cuda
