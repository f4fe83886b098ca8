// Products of a small matrix with rows of pixels, in registers: C = A B, and C += A B^T summed over the pixels.
//
// One thread's work; callers share images and strips out. B's rows are `pitch` apart and are read where they lie, so a
// 1x1 convolution needs no copy of its input. T is float or double; for dot products Bf16, too, summed as floats.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/bf16.h"

namespace lcnn::cpu {

// What products of T are summed as.
template <typename T>
using Sum = std::conditional_t<std::is_same_v<T, Bf16>, float, T>;

// A [rows, inner] whose element (i, j) is at values[i * row_step + j * inner_step]: D, or D transposed.
template <typename T>
struct SmallMatrix {
  const T* values;
  std::int64_t rows, inner, row_step, inner_step;
};

// C [rows, pixels] = A [rows, inner] B [inner, pixels].
template <typename T>
void pixel_product(const SmallMatrix<T>& a, std::int64_t pixels, const T* b, std::int64_t b_pitch, T* c,
                   std::int64_t c_pitch);

// C [rows, columns] += A [rows, pixels] B [columns, pixels]^T; C is contiguous.
template <typename T>
void pixel_dot_products(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const T* a, std::int64_t a_pitch,
                        const T* b, std::int64_t b_pitch, Sum<T>* c);

}  // namespace lcnn::cpu
