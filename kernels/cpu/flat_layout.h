// A strip's padded planes, flat, so that each tap of a kernel is one constant offset from every output pixel's place.
//
// Output pixels are `pitch` apart from row to row, and so are the rows of a plane: the gap of zeros between two rows is the
// right padding of one and the left padding of the next. Under strides above 1, rows and columns are sorted by their
// remainders (phases) modulo the stride: a tap meets a single phase, whose neighbours are those of neighbouring outputs.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/problem.h"

namespace lcnn::cpu {

// Values that a loop may read or write beyond the pixels it was asked for: those of the widest register.
inline constexpr std::int64_t kBeyond = 16;

// Elements from plane to plane: a vector may be read and written beyond each, and an odd number of cache lines keeps planes
// apart in the cache.
inline std::int64_t plane_pitch(std::int64_t elements) { return ((elements + kBeyond + 15) / 16 | 1) * 16; }

inline std::int64_t divided_up(std::int64_t count, std::int64_t by) { return (count + by - 1) / by; }

// Where share `part` of `parts` about equal ones of `count` begins.
inline std::int64_t share(std::int64_t count, std::int64_t part, std::int64_t parts) { return count * part / parts; }

// Input rows under a strip: [first, last) exist, `top` is the first one with its padding.
struct RowsUnder {
  std::int64_t top, first, last;
};

class FlatLayout {
 public:
  // Of strips of `out_rows` output rows of a convolution with conv's kernel, stride, padding and dilation. lanes > 0: rows begin
  // with a vector, and what a row's pixels meet ends with it (without strides).
  FlatLayout(const Conv2dProblem& conv, std::int64_t out_rows, int lanes = 0)
      : conv_(conv),
        row_phases_(std::min(conv.stride[0], halo(0) + 1)),
        column_phases_(std::min(conv.stride[1], halo(1) + 1)),
        pitch_(lanes > 0 ? (conv.width + 2 * conv.padding[1] + lanes - 1) / lanes * lanes
                         : std::max((conv.width + conv.padding[1] + conv.stride[1] - 1) / conv.stride[1], conv.out_width())),
        rows_((out_rows - 1) * conv.stride[0] + halo(0) + 1),
        phase_((out_rows + halo(0) / conv.stride[0]) * pitch_) {
    if (row_phases_ * column_phases_ > 1) phase_ += conv.padding[1];  // right padding of the last row: the next phase begins with less of it
  }

  std::int64_t pitch() const { return pitch_; }
  std::int64_t row_phases() const { return row_phases_; }
  std::int64_t column_phases() const { return column_phases_; }
  // Elements of a plane: pairs of row and column phases that the kernel meets, one behind the other.
  std::int64_t plane() const { return row_phases_ * column_phases_ * phase_; }
  // Elements of a pair of phases.
  std::int64_t phase() const { return phase_; }
  // Input rows under a strip, padding included.
  std::int64_t rows() const { return rows_; }
  // What the last plane needs behind it: right padding.
  std::int64_t slack() const { return conv_.padding[1] + halo(1); }

  RowsUnder rows_under(std::int64_t first_out_row) const {
    const std::int64_t top = first_out_row * conv_.stride[0] - conv_.padding[0];
    const std::int64_t first = std::clamp<std::int64_t>(top, 0, conv_.height);
    return {top, first, std::max(first, std::min(top + rows_, conv_.height))};
  }

  // From an output pixel's place, row * pitch + column, to what kernel tap (r, s) meets there.
  std::int64_t tap_offset(std::int64_t r, std::int64_t s) const {
    const std::int64_t down = r * conv_.dilation[0], right = s * conv_.dilation[1];
    return phase_of(r, s) * phase_ + down / conv_.stride[0] * pitch_ + right / conv_.stride[1];
  }
  // The pair of phases that the tap meets.
  std::int64_t phase_of(std::int64_t r, std::int64_t s) const {
    return r * conv_.dilation[0] % conv_.stride[0] * column_phases_ + s * conv_.dilation[1] % conv_.stride[1];
  }

  // Where a pair of phases begins in a plane.
  std::int64_t phase_start(std::int64_t row_phase, std::int64_t column_phase) const {
    return (row_phase * column_phases_ + column_phase) * phase_;
  }

  // The part of the rows that one column phase has: `count` values from column `first` on, `left` columns of padding in front.
  struct ColumnPart {
    std::int64_t first, count, left;
  };
  ColumnPart columns_of(std::int64_t column_phase) const {
    const std::int64_t stride = conv_.stride[1], left = (conv_.padding[1] - column_phase + stride - 1) / stride;
    const std::int64_t first = left * stride + column_phase - conv_.padding[1];
    return {first, std::max<std::int64_t>((conv_.width - first + stride - 1) / stride, 0), left};
  }

 private:
  std::int64_t halo(int axis) const { return (conv_.kernel[axis] - 1) * conv_.dilation[axis]; }

  Conv2dProblem conv_;
  std::int64_t row_phases_, column_phases_, pitch_, rows_, phase_;
};

}  // namespace lcnn::cpu
