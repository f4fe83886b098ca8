// The instruction set that the loops of simd_dispatch.h run with.
#pragma once

#include <functional>
#include <string>

namespace lcnn::cpu {

// Its name, as Highway calls it (AVX3 is AVX-512); without Highway what the compiler's flags chose.
std::string simd_target();

// Calls function() with each instruction set chosen in turn that this processor has and that was compiled, then goes back
// to the best one. For tests: no loop may run in another thread meanwhile.
void with_each_simd_target(const std::function<void()>& function);

}  // namespace lcnn::cpu
