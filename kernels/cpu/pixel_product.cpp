#include "kernels/cpu/pixel_product.h"

#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pixel_product.cpp"
#include "kernels/cpu/simd_dispatch.h"
// After simd_dispatch.h: its own instruction set for each inclusion.
#include "kernels/cpu/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace lcnn::cpu::HWY_NAMESPACE {
namespace {

// Rows whose sums are in registers together, each with kVectors vectors of pixels: all but what B's pixels and A's value take.
constexpr int kVectors = simd::kRegisters == 32 ? 4 : 2;
constexpr int kRows = 6;
// Rows and columns of dot products whose sums are in registers together.
constexpr int kDotRows = simd::kRegisters == 32 ? 4 : 2;
constexpr int kDotColumns = 4;

// The sums of kCount rows and `count` vectors of pixels in registers. Bound: one load of B for kCount multiply-adds.
template <typename T, int kCount, typename Vectors>
HWY_INLINE void product_block(const SmallMatrix<T>& a, std::int64_t row, const T* b, std::int64_t b_pitch, T* c,
                              std::int64_t c_pitch, Vectors count) {
  constexpr int lanes = simd::kLanes<T>;
  simd::Lanes<T> sums[kCount][count()];
  for (auto& row_sums : sums) {
    for (auto& sum : row_sums) sum = simd::broadcast(T(0));
  }
  const T* column = a.values + row * a.row_step;
  for (std::int64_t j = 0; j < a.inner; ++j, column += a.inner_step, b += b_pitch) {
    simd::Lanes<T> pixels[count()];
    for (int v = 0; v < count(); ++v) pixels[v] = simd::load(b + v * lanes);
    for (int i = 0; i < kCount; ++i) {
      const auto value = simd::broadcast(column[i * a.row_step]);
      for (int v = 0; v < count(); ++v) sums[i][v] = simd::multiply_add(value, pixels[v], sums[i][v]);
    }
  }
  for (int i = 0; i < kCount; ++i) {
    for (int v = 0; v < count(); ++v) simd::store(c + (row + i) * c_pitch + v * lanes, sums[i][v]);
  }
}

// c[i][j] += the dot products over `pixels` of kCount rows of a and kColumns rows of b.
template <typename T, int kCount, int kColumns>
HWY_INLINE void dot_block(std::int64_t pixels, const T* a, std::int64_t a_pitch, const T* b, std::int64_t b_pitch, Sum<T>* c,
                          std::int64_t c_pitch) {
  constexpr int lanes = simd::kLanes<Sum<T>>;
  simd::Lanes<Sum<T>> sums[kCount][kColumns];
  for (auto& row_sums : sums) {
    for (auto& sum : row_sums) sum = simd::broadcast(Sum<T>(0));
  }
  std::int64_t q = 0;
  for (; q + lanes <= pixels; q += lanes) {
    simd::Lanes<Sum<T>> columns[kColumns];
    for (int j = 0; j < kColumns; ++j) columns[j] = simd::load(b + j * b_pitch + q);
    for (int i = 0; i < kCount; ++i) {
      const auto row = simd::load(a + i * a_pitch + q);
      for (int j = 0; j < kColumns; ++j) sums[i][j] = simd::multiply_add(row, columns[j], sums[i][j]);
    }
  }
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < kColumns; ++j) {
      Sum<T> in_lanes[lanes], sum = 0;
      simd::store(in_lanes, sums[i][j]);
      for (const Sum<T> value : in_lanes) sum += value;
      for (std::int64_t rest = q; rest < pixels; ++rest) sum += widened(a[i * a_pitch + rest]) * widened(b[j * b_pitch + rest]);
      c[i * c_pitch + j] += sum;
    }
  }
}

template <typename T, int kCount>
HWY_INLINE void dot_rows(std::int64_t columns, std::int64_t pixels, const T* a, std::int64_t a_pitch, const T* b,
                         std::int64_t b_pitch, Sum<T>* c) {
  std::int64_t column = 0;
  for (; column + kDotColumns <= columns; column += kDotColumns) {
    dot_block<T, kCount, kDotColumns>(pixels, a, a_pitch, b + column * b_pitch, b_pitch, c + column, columns);
  }
  for (; column < columns; ++column) dot_block<T, kCount, 1>(pixels, a, a_pitch, b + column * b_pitch, b_pitch, c + column, columns);
}

template <typename T>
HWY_INLINE void product(const SmallMatrix<T>& a, std::int64_t pixels, const T* b, std::int64_t b_pitch, T* c,
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
  simd::for_each_block<T, kVectors>(pixels, [&](std::int64_t start, auto count) HWY_ATTR {
    std::int64_t row = 0;
    for (; row + kRows <= a.rows; row += kRows) product_block<T, kRows>(a, row, b + start, b_pitch, c + start, c_pitch, count);
    for (; row + 3 <= a.rows; row += 3) product_block<T, 3>(a, row, b + start, b_pitch, c + start, c_pitch, count);
    for (; row < a.rows; ++row) product_block<T, 1>(a, row, b + start, b_pitch, c + start, c_pitch, count);
  });
}

template <typename T>
HWY_INLINE void dot_products(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const T* a, std::int64_t a_pitch,
                             const T* b, std::int64_t b_pitch, Sum<T>* c) {
  std::int64_t row = 0;
  for (; row + kDotRows <= rows; row += kDotRows) {
    dot_rows<T, kDotRows>(columns, pixels, a + row * a_pitch, a_pitch, b, b_pitch, c + row * columns);
  }
  for (; row < rows; ++row) dot_rows<T, 1>(columns, pixels, a + row * a_pitch, a_pitch, b, b_pitch, c + row * columns);
}

}  // namespace

// HWY_EXPORT takes no templates.
void product_float(const SmallMatrix<float>& a, std::int64_t pixels, const float* b, std::int64_t b_pitch, float* c,
                   std::int64_t c_pitch) {
  product(a, pixels, b, b_pitch, c, c_pitch);
}
void product_double(const SmallMatrix<double>& a, std::int64_t pixels, const double* b, std::int64_t b_pitch, double* c,
                    std::int64_t c_pitch) {
  product(a, pixels, b, b_pitch, c, c_pitch);
}
void dot_products_float(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const float* a, std::int64_t a_pitch,
                        const float* b, std::int64_t b_pitch, float* c) {
  dot_products(rows, columns, pixels, a, a_pitch, b, b_pitch, c);
}
void dot_products_double(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const double* a,
                         std::int64_t a_pitch, const double* b, std::int64_t b_pitch, double* c) {
  dot_products(rows, columns, pixels, a, a_pitch, b, b_pitch, c);
}
void dot_products_bf16(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const Bf16* a, std::int64_t a_pitch, const Bf16* b,
                       std::int64_t b_pitch, float* c) {
  dot_products(rows, columns, pixels, a, a_pitch, b, b_pitch, c);
}

}  // namespace lcnn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcnn::cpu {

HWY_EXPORT(product_float);
HWY_EXPORT(product_double);
HWY_EXPORT(dot_products_float);
HWY_EXPORT(dot_products_double);
HWY_EXPORT(dot_products_bf16);

template <>
void pixel_product(const SmallMatrix<float>& a, std::int64_t pixels, const float* b, std::int64_t b_pitch, float* c,
                   std::int64_t c_pitch) {
  HWY_DYNAMIC_DISPATCH(product_float)(a, pixels, b, b_pitch, c, c_pitch);
}
template <>
void pixel_product(const SmallMatrix<double>& a, std::int64_t pixels, const double* b, std::int64_t b_pitch, double* c,
                   std::int64_t c_pitch) {
  HWY_DYNAMIC_DISPATCH(product_double)(a, pixels, b, b_pitch, c, c_pitch);
}
template <>
void pixel_dot_products(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const float* a, std::int64_t a_pitch,
                        const float* b, std::int64_t b_pitch, float* c) {
  HWY_DYNAMIC_DISPATCH(dot_products_float)(rows, columns, pixels, a, a_pitch, b, b_pitch, c);
}
template <>
void pixel_dot_products(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const double* a,
                        std::int64_t a_pitch, const double* b, std::int64_t b_pitch, double* c) {
  HWY_DYNAMIC_DISPATCH(dot_products_double)(rows, columns, pixels, a, a_pitch, b, b_pitch, c);
}
template <>
void pixel_dot_products(std::int64_t rows, std::int64_t columns, std::int64_t pixels, const Bf16* a, std::int64_t a_pitch, const Bf16* b,
                        std::int64_t b_pitch, float* c) {
  HWY_DYNAMIC_DISPATCH(dot_products_bf16)(rows, columns, pixels, a, a_pitch, b, b_pitch, c);
}

}  // namespace lcnn::cpu
#endif
