// Products of a small matrix with rows of pixels, in registers: C = A B, and C += A B^T summed over the pixels.
//
// One thread's work; callers share images and strips out. B's rows are `pitch` apart and are read where they lie, so a
// 1x1 convolution needs no copy of its input. Bound: one load of B for kRows multiply-adds.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cpu/lanes.h"

namespace lcnn::cpu {

// A [rows, inner] whose element (i, j) is at values[i * row_step + j * inner_step]: D, or D transposed.
template <typename T>
struct SmallMatrix {
  const T* values;
  std::int64_t rows, inner, row_step, inner_step;
};

// The sums of kRows rows and `count` vectors of pixels in registers.
template <typename T, int kRows, typename Count>
void product_block(const SmallMatrix<T>& a, std::int64_t row, const T* b, std::int64_t b_pitch, T* c, std::int64_t c_pitch,
                   Count count) {
  constexpr int lanes = simd::kLanes<T>;
  simd::Lanes<T> sums[kRows][count()] = {};
  const T* column = a.values + row * a.row_step;
  for (std::int64_t j = 0; j < a.inner; ++j, column += a.inner_step, b += b_pitch) {
    simd::Lanes<T> pixels[count()];
    for (int v = 0; v < count(); ++v) pixels[v] = simd::load(b + v * lanes);
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < count(); ++v) sums[i][v] += column[i * a.row_step] * pixels[v];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < count(); ++v) simd::store(c + (row + i) * c_pitch + v * lanes, sums[i][v]);
  }
}

// C [rows, pixels] = A [rows, inner] B [inner, pixels].
template <typename T>
void pixel_product(const SmallMatrix<T>& a, std::int64_t pixels, const T* b, std::int64_t b_pitch, T* c,
                   std::int64_t c_pitch) {
  if (pixels < simd::kLanes<T>) {
    for (std::int64_t i = 0; i < a.rows; ++i) {
      for (std::int64_t q = 0; q < pixels; ++q) {
        T sum = 0;
        for (std::int64_t j = 0; j < a.inner; ++j) sum += a.values[i * a.row_step + j * a.inner_step] * b[j * b_pitch + q];
        c[i * c_pitch + q] = sum;
      }
    }
    return;
  }
  simd::for_each_block<T, 4>(pixels, [&](std::int64_t start, auto count) {
    std::int64_t row = 0;
    for (; row + 6 <= a.rows; row += 6) product_block<T, 6>(a, row, b + start, b_pitch, c + start, c_pitch, count);
    for (; row + 3 <= a.rows; row += 3) product_block<T, 3>(a, row, b + start, b_pitch, c + start, c_pitch, count);
    for (; row < a.rows; ++row) product_block<T, 1>(a, row, b + start, b_pitch, c + start, c_pitch, count);
  });
}

// c[i][j] += the dot products over `pixels` of kRows rows of a and kColumns rows of b.
template <typename T, int kRows, int kColumns>
void dot_block(std::int64_t pixels, const T* a, std::int64_t a_pitch, const T* b, std::int64_t b_pitch, T* c,
               std::int64_t c_pitch) {
  constexpr int lanes = simd::kLanes<T>;
  simd::Lanes<T> sums[kRows][kColumns] = {};
  std::int64_t q = 0;
  for (; q + lanes <= pixels; q += lanes) {
    simd::Lanes<T> columns[kColumns];
    for (int j = 0; j < kColumns; ++j) columns[j] = simd::load(b + j * b_pitch + q);
    for (int i = 0; i < kRows; ++i) {
      const simd::Lanes<T> row = simd::load(a + i * a_pitch + q);
      for (int j = 0; j < kColumns; ++j) sums[i][j] += row * columns[j];
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      T sum = 0;
      for (int lane = 0; lane < lanes; ++lane) sum += sums[i][j][lane];
      for (std::int64_t rest = q; rest < pixels; ++rest) sum += a[i * a_pitch + rest] * b[j * b_pitch + rest];
      c[i * c_pitch + j] += sum;
    }
  }
}

// C [rows, columns] += A [rows, pixels] B [columns, pixels]^T; C is contiguous.
template <typename T>
void pixel_dot_products(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const T* a, std::int64_t a_pitch,
                        const T* b, std::int64_t b_pitch, T* c) {
  const auto columns_of = [&]<int kRows>(std::int64_t row, std::integral_constant<int, kRows>) {
    std::int64_t column = 0;
    for (; column + 4 <= columns; column += 4) {
      dot_block<T, kRows, 4>(pixels, a + row * a_pitch, a_pitch, b + column * b_pitch, b_pitch, c + row * columns + column, columns);
    }
    for (; column < columns; ++column) {
      dot_block<T, kRows, 1>(pixels, a + row * a_pitch, a_pitch, b + column * b_pitch, b_pitch, c + row * columns + column, columns);
    }
  };
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) columns_of(row, std::integral_constant<int, 4>{});
  for (; row < rows; ++row) columns_of(row, std::integral_constant<int, 1>{});
}

}  // namespace lcnn::cpu
