// Kernels whose counters are known beforehand.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

namespace lcnn::profiles {

// All on the default stream; they throw std::runtime_error when they cannot be launched.
void launch_copy(const float4* from, float4* to, std::size_t elements);  // reads and writes every byte once
void launch_bank_conflicts(int rounds, int* sink);                       // all lanes of a warp read one bank
void launch_pointer_chase(const std::uint32_t* next, int steps, std::uint32_t* sink);  // loads that wait for each other
void launch_fma_chains(int rounds, float* sink);                         // arithmetic alone

}  // namespace lcnn::profiles
