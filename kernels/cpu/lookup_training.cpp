// The lookup stage of training: Y = conv(S, P) + b and the gradients of S, the coefficients and the bias, row by row.
#include <algorithm>
#include <vector>

#include "kernels/cpu/training.h"
#include "kernels/row_accumulate.h"

namespace lcnn::cpu {
namespace {

// P by dictionary entry: which lookups read entry e, in the order of the rows.
struct LookupsByEntry {
  struct Lookup {
    std::int32_t row, index;  // row of the table, and place in its arrays
  };
  std::vector<std::int64_t> offsets;  // [dictionary_size + 1]
  std::vector<Lookup> lookups;

  template <typename T>
  LookupsByEntry(const Conv2dProblem& stage, const LookupArrays<T>& table)
      : offsets(stage.in_channels + 1), lookups(table.lookups) {
    for (std::int64_t i = 0; i < table.lookups; ++i) ++offsets[table.indices[i] + 1];
    for (std::int64_t e = 0; e < stage.in_channels; ++e) offsets[e + 1] += offsets[e];
    std::vector<std::int64_t> next(offsets.begin(), offsets.end() - 1);
    for (std::int64_t row = 0; row < stage.out_channels * stage.taps(); ++row) {
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        lookups[next[table.indices[i]]++] = {static_cast<std::int32_t>(row), i};
      }
    }
  }
};

}  // namespace

template <typename T>
void lookup_output(const LookupProblem& problem, const T* s, const LookupArrays<T>& lookups, const T* bias, T* y) {
  const Conv2dProblem p = problem.lookup_stage();
  const std::int64_t out_h = p.out_height(), out_w = p.out_width(), image = p.in_channels * p.height * p.width;
#pragma omp parallel for collapse(3) schedule(static)
  for (std::int64_t n = 0; n < p.batch; ++n) {
    for (std::int64_t k = 0; k < p.out_channels; ++k) {
      for (std::int64_t row = 0; row < out_h; ++row) {
        gather_row(p, k, row, lookups.row_offsets, lookups.indices, lookups.coefficients, bias == nullptr ? T(0) : bias[k],
                   s + n * image, y + ((n * p.out_channels + k) * out_h + row) * out_w);
      }
    }
  }
}

template <typename T>
void input_dictionary_gradient(const LookupProblem& problem, const T* grad_y, const LookupArrays<T>& lookups, T* grad_s) {
  const Conv2dProblem p = problem.lookup_stage();
  const std::int64_t out_h = p.out_height(), out_w = p.out_width(), plane = p.height * p.width;
  const LookupsByEntry by_entry(p, lookups);
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (std::int64_t n = 0; n < p.batch; ++n) {
    for (std::int64_t e = 0; e < p.in_channels; ++e) {
      T* to = grad_s + (n * p.in_channels + e) * plane;
      std::fill_n(to, plane, T(0));
      for (std::int64_t i = by_entry.offsets[e]; i < by_entry.offsets[e + 1]; ++i) {
        const auto& lookup = by_entry.lookups[i];
        const std::int64_t k = lookup.row / p.taps(), tap = lookup.row % p.taps();
        const T* from = grad_y + (n * p.out_channels + k) * out_h * out_w;
        for (std::int64_t row = 0; row < out_h; ++row) {
          const std::int64_t h = input_row(p, row, tap / p.kernel[1]);
          if (h < 0 || h >= p.height) continue;
          scatter_row(p, tap % p.kernel[1], lookups.coefficients[lookup.index], from + row * out_w, to + h * p.width);
        }
      }
    }
  }
}

template <typename T>
void coefficient_gradient(const LookupProblem& problem, const T* grad_y, const T* s, const LookupArrays<T>& lookups,
                          T* grad_coefficients) {
  const Conv2dProblem p = problem.lookup_stage();
  const std::int64_t out_h = p.out_height(), out_w = p.out_width(), plane = p.height * p.width;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t table_row = 0; table_row < p.out_channels * p.taps(); ++table_row) {
    const std::int64_t k = table_row / p.taps(), tap = table_row % p.taps();
    for (std::int32_t i = lookups.row_offsets[table_row]; i < lookups.row_offsets[table_row + 1]; ++i) {
      double sum = 0.0;
      for (std::int64_t n = 0; n < p.batch; ++n) {
        const T* from = grad_y + (n * p.out_channels + k) * out_h * out_w;
        const T* entry = s + (n * p.in_channels + lookups.indices[i]) * plane;
        for (std::int64_t row = 0; row < out_h; ++row) {
          const std::int64_t h = input_row(p, row, tap / p.kernel[1]);
          if (h < 0 || h >= p.height) continue;
          sum += dot_row(p, tap % p.kernel[1], entry + h * p.width, from + row * out_w);
        }
      }
      grad_coefficients[i] = static_cast<T>(sum);
    }
  }
}

template <typename T>
void bias_gradient(const LookupProblem& problem, const T* grad_y, T* grad_bias) {
  const Conv2dProblem& p = problem.conv;
  const std::int64_t plane = p.out_height() * p.out_width();
#pragma omp parallel for schedule(static)
  for (std::int64_t k = 0; k < p.out_channels; ++k) {
    double sum = 0.0;
    for (std::int64_t n = 0; n < p.batch; ++n) {
      const T* from = grad_y + (n * p.out_channels + k) * plane;
      T image = 0;
#pragma omp simd reduction(+ : image)
      for (std::int64_t q = 0; q < plane; ++q) image += from[q];
      sum += image;
    }
    grad_bias[k] = static_cast<T>(sum);
  }
}

#define LCNN_INSTANTIATE(T)                                                                                          \
  template void lookup_output(const LookupProblem&, const T*, const LookupArrays<T>&, const T*, T*);                 \
  template void input_dictionary_gradient(const LookupProblem&, const T*, const LookupArrays<T>&, T*);               \
  template void coefficient_gradient(const LookupProblem&, const T*, const T*, const LookupArrays<T>&, T*);          \
  template void bias_gradient(const LookupProblem&, const T*, T*);
LCNN_INSTANTIATE(float)
LCNN_INSTANTIATE(double)
#undef LCNN_INSTANTIATE

}  // namespace lcnn::cpu
