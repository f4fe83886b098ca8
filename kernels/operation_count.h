// Operation and byte counts, as the LCNN paper counts them: what a time is compared with.
#pragma once

#include <cstdint>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn {

struct OperationCount {
  double conv2d_multiplications = 0;      // N * K * P * Q * C/groups * kh * kw
  double dictionary_multiplications = 0;  // N * dictionary_size * H' * W' * C/groups * dh * dw (eq. 4)
  double lookups = 0;                     // non-zeros of P times the output positions N * P * Q (eq. 5)

  double lookup_multiplications() const { return dictionary_multiplications + lookups; }
  // What the paper promises: multiplications saved.
  double reduction() const { return conv2d_multiplications / lookup_multiplications(); }
};

OperationCount count_operations(const LookupProblem& problem, const LookupTable& table);

// Input once plus output once, in bytes.
std::int64_t input_output_bytes(const Conv2dProblem& problem, Precision precision);

}  // namespace lcnn
