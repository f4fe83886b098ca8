// Elementwise passes: random inputs that equal the CPU's for the same seed, and a bias pass.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace lcnn::cuda {

// y [out_channels over `problem`'s output] += bias, in place. Enqueues on `stream`.
void add_bias(const Conv2dProblem& problem, Precision precision, Layout layout, const void* bias, void* y,
              void* stream);

// Fills with random_value(seed, index) rounded to `precision`. Enqueues on `stream`.
void random_fill(void* data, std::int64_t elements, Precision precision, std::uint64_t seed, void* stream);

}  // namespace lcnn::cuda
