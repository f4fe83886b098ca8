// A convolution's input as rows of a matrix, one row for each (channel, r, s) under the kernel: im2col and its adjoint.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/problem.h"
#include "kernels/row_accumulate.h"

namespace lcnn::cpu {

// out [rows, out_width] = what (channel, r, s) = patch reads for the output rows from first_row; padding is 0.
// `in` is one group's [in_channels / groups, height, width].
template <typename T>
void unfold_patch(const Conv2dProblem& stage, std::int64_t patch, std::int64_t first_row, std::int64_t rows, const T* in,
                  T* out) {
  const std::int64_t c = patch / stage.taps();
  const std::int64_t r = patch % stage.taps() / stage.kernel[1], s = patch % stage.kernel[1];
  std::fill_n(out, rows * stage.out_width(), T(0));
  for (std::int64_t row = 0; row < rows; ++row, out += stage.out_width()) {
    const std::int64_t h = input_row(stage, first_row + row, r);
    if (h < 0 || h >= stage.height) continue;
    accumulate_row<T>(stage, s, T(1), in + (c * stage.height + h) * stage.width, out);
  }
}

// The adjoint: in += out where unfold_patch reads it.
template <typename T>
void fold_patch(const Conv2dProblem& stage, std::int64_t patch, std::int64_t first_row, std::int64_t rows, const T* out,
                T* in) {
  const std::int64_t c = patch / stage.taps();
  const std::int64_t r = patch % stage.taps() / stage.kernel[1], s = patch % stage.kernel[1];
  for (std::int64_t row = 0; row < rows; ++row, out += stage.out_width()) {
    const std::int64_t h = input_row(stage, first_row + row, r);
    if (h < 0 || h >= stage.height) continue;
    scatter_row<T>(stage, s, T(1), out, in + (c * stage.height + h) * stage.width);
  }
}

}  // namespace lcnn::cpu
