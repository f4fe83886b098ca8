// One tap of a convolution over one row of pixels, and its adjoint: the inner loops of every row-wise CPU evaluation.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/problem.h"

namespace lcnn {

// The output columns [first, last) whose input column, column * stride - padding + s * dilation, exists.
struct ColumnRange {
  std::int64_t first, last;
};

inline ColumnRange columns_inside(const Conv2dProblem& p, std::int64_t s) {
  const std::int64_t shift = s * p.dilation[1] - p.padding[1];
  const std::int64_t first = shift >= 0 ? 0 : (-shift + p.stride[1] - 1) / p.stride[1];
  const std::int64_t last = p.width - shift <= 0 ? 0 : (p.width - shift - 1) / p.stride[1] + 1;
  return {first, std::min(last, p.out_width())};
}

// The input row that output row `row` meets at kernel row r; outside [0, height) it is padding.
inline std::int64_t input_row(const Conv2dProblem& p, std::int64_t row, std::int64_t r) {
  return row * p.stride[0] - p.padding[0] + r * p.dilation[0];
}

// out [out_width] += coefficient * in [width] at kernel column s.
template <typename T>
void accumulate_row(const Conv2dProblem& p, std::int64_t s, T coefficient, const T* in, T* out) {
  const auto [first, last] = columns_inside(p, s);
  const T* shifted = in + s * p.dilation[1] - p.padding[1];
  if (p.stride[1] == 1) {
    for (std::int64_t q = first; q < last; ++q) out[q] += coefficient * shifted[q];
  } else {
    for (std::int64_t q = first; q < last; ++q) out[q] += coefficient * shifted[q * p.stride[1]];
  }
}

// The adjoint of accumulate_row: in [width] += coefficient * out [out_width] at kernel column s.
template <typename T>
void scatter_row(const Conv2dProblem& p, std::int64_t s, T coefficient, const T* out, T* in) {
  const auto [first, last] = columns_inside(p, s);
  T* shifted = in + s * p.dilation[1] - p.padding[1];
  if (p.stride[1] == 1) {
    for (std::int64_t q = first; q < last; ++q) shifted[q] += coefficient * out[q];
  } else {
    for (std::int64_t q = first; q < last; ++q) shifted[q * p.stride[1]] += coefficient * out[q];
  }
}

// One output row of a lookup stage: out [out_width] = bias + sum over (r, s) and their lookups.
// `input_dictionary` is S of one image, [in_channels, height, width]; the CSR arrays are a LookupTable's.
template <typename T, typename Index, typename Coefficient>
void gather_row(const Conv2dProblem& p, std::int64_t k, std::int64_t row, const std::int32_t* row_offsets,
                const Index* indices, const Coefficient* coefficients, T bias, const T* input_dictionary, T* out) {
  std::fill_n(out, p.out_width(), bias);
  for (std::int64_t r = 0; r < p.kernel[0]; ++r) {
    const std::int64_t h = input_row(p, row, r);
    if (h < 0 || h >= p.height) continue;
    for (std::int64_t s = 0; s < p.kernel[1]; ++s) {
      const std::int64_t position = (k * p.kernel[0] + r) * p.kernel[1] + s;
      for (std::int32_t i = row_offsets[position]; i < row_offsets[position + 1]; ++i) {
        const T* in = input_dictionary + (static_cast<std::int64_t>(indices[i]) * p.height + h) * p.width;
        accumulate_row<T>(p, s, coefficients[i], in, out);
      }
    }
  }
}

}  // namespace lcnn
