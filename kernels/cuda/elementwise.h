// Elementwise passes: random inputs that equal the CPU's for the same seed, and a bias pass.
#pragma once

#include <cstdint>

#include "kernels/problem.h"

namespace lcnn::cuda {

// y [out_channels over `problem`'s output] += bias, in place. Enqueues on `stream`.
void add_bias(const Conv2dProblem& problem, Precision precision, Layout layout, const void* bias, void* y,
              void* stream);

// Fills an input of `problem` with random_value(seed, NCHW index) rounded to `precision`, so that both layouts hold the
// same tensor. Enqueues on `stream`.
void random_fill(void* x, const Conv2dProblem& problem, Precision precision, Layout layout, std::uint64_t seed,
                 void* stream);

}  // namespace lcnn::cuda
