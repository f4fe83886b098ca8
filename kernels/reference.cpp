#include "kernels/reference.h"

#include <algorithm>
#include <cmath>

#include "kernels/row_accumulate.h"

namespace lcnn {
std::vector<double> reference_conv2d(const Conv2dProblem& p, std::span<const double> x,
                                     std::span<const float> weight, std::span<const float> bias) {
  std::vector<double> y(p.output_elements());
  const std::int64_t out_h = p.out_height(), out_w = p.out_width(), channels = p.in_channels_per_group();
#pragma omp parallel for collapse(3) schedule(static)
  for (std::int64_t n = 0; n < p.batch; ++n) {
    for (std::int64_t k = 0; k < p.out_channels; ++k) {
      for (std::int64_t row = 0; row < out_h; ++row) {
        double* out = y.data() + ((n * p.out_channels + k) * out_h + row) * out_w;
        std::fill_n(out, out_w, bias.empty() ? 0.0 : bias[k]);
        const std::int64_t first_channel = k / p.out_channels_per_group() * channels;
        for (std::int64_t c = 0; c < channels; ++c) {
          for (std::int64_t r = 0; r < p.kernel[0]; ++r) {
            const std::int64_t h = input_row(p, row, r);
            if (h < 0 || h >= p.height) continue;
            const double* in = x.data() + ((n * p.in_channels + first_channel + c) * p.height + h) * p.width;
            for (std::int64_t s = 0; s < p.kernel[1]; ++s) {
              accumulate_row<double>(p, s, weight[((k * channels + c) * p.kernel[0] + r) * p.kernel[1] + s], in, out);
            }
          }
        }
      }
    }
  }
  return y;
}

std::vector<double> reference_lookup_conv2d(const LookupProblem& problem, const LookupWeights& weights,
                                            std::span<const double> x) {
  const std::vector<double> input_dictionary =
      reference_conv2d(problem.dictionary_stage(), x, weights.dictionary, {});
  const Conv2dProblem p = problem.lookup_stage();
  const LookupTable& table = weights.lookups;
  std::vector<double> y(p.output_elements());
  const std::int64_t out_h = p.out_height(), out_w = p.out_width();
#pragma omp parallel for collapse(3) schedule(static)
  for (std::int64_t n = 0; n < p.batch; ++n) {
    for (std::int64_t k = 0; k < p.out_channels; ++k) {
      for (std::int64_t row = 0; row < out_h; ++row) {
        gather_row(p, k, row, table.row_offsets.data(), table.indices.data(), table.coefficients.data(),
                   weights.bias.empty() ? 0.0 : static_cast<double>(weights.bias[k]),
                   input_dictionary.data() + n * p.in_channels * p.height * p.width,
                   y.data() + ((n * p.out_channels + k) * out_h + row) * out_w);
      }
    }
  }
  return y;
}

Comparison make_comparison(double error_squares, double reference_squares, std::int64_t non_finite) {
  const double scale = reference_squares > 0.0 ? reference_squares : 1.0;
  return {.rel_err = std::sqrt(error_squares / scale), .non_finite = non_finite};
}

Comparison compare(std::span<const float> y, std::span<const double> reference) {
  double error_squares = 0.0, reference_squares = 0.0;
  std::int64_t non_finite = 0;
#pragma omp parallel for reduction(+ : error_squares, reference_squares, non_finite)
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double error = static_cast<double>(y[i]) - reference[i];
    error_squares += error * error;
    reference_squares += reference[i] * reference[i];
    non_finite += std::isfinite(y[i]) ? 0 : 1;
  }
  return make_comparison(error_squares, reference_squares, non_finite);
}

}  // namespace lcnn
