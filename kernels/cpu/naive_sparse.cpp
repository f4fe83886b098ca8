// naive_sparse: one output at a time, the dictionary entry's dot product recomputed for every lookup.
//
// The algorithm of LCNN-pytorch (take2), kept as the fixed point of comparison: lookups * C/groups * dh * dw
// multiplications, no fewer than Conv2d's at one lookup per position, because S is never formed.
#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/weights_copy.h"
#include "kernels/row_accumulate.h"

namespace lcnn::cpu {
namespace {

class NaiveSparse final : public PreparedConvolution {
 public:
  NaiveSparse(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout,
              const Execution& execution)
      : problem_(problem), weights_(weights, *execution.allocator) {}

  void run(const void* x, void* y, void*) override {
    const Conv2dProblem& conv = problem_.conv;
    const std::int64_t out_h = conv.out_height(), out_w = conv.out_width();
    const auto* in = static_cast<const float*>(x);
    auto* out = static_cast<float*>(y);
#pragma omp parallel for collapse(3) schedule(static)
    for (std::int64_t n = 0; n < conv.batch; ++n) {
      for (std::int64_t k = 0; k < conv.out_channels; ++k) {
        for (std::int64_t row = 0; row < out_h; ++row) {
          for (std::int64_t column = 0; column < out_w; ++column) {
            out[((n * conv.out_channels + k) * out_h + row) * out_w + column] =
                output_at(in + n * conv.in_channels * conv.height * conv.width, k, row, column);
          }
        }
      }
    }
  }

 private:
  float output_at(const float* image, std::int64_t k, std::int64_t row, std::int64_t column) const {
    float sum = weights_.bias(k);
    for (std::int64_t r = 0; r < lookup_.kernel[0]; ++r) {
      const std::int64_t h = input_row(lookup_, row, r);
      if (h < 0 || h >= lookup_.height) continue;
      for (std::int64_t s = 0; s < lookup_.kernel[1]; ++s) {
        const std::int64_t w = column * lookup_.stride[1] - lookup_.padding[1] + s * lookup_.dilation[1];
        if (w < 0 || w >= lookup_.width) continue;
        const std::int64_t position = (k * lookup_.kernel[0] + r) * lookup_.kernel[1] + s;
        for (std::int32_t i = weights_.row_offsets()[position]; i < weights_.row_offsets()[position + 1]; ++i) {
          sum += weights_.coefficients()[i] * entry_dot_product(image, weights_.indices()[i], h, w);
        }
      }
    }
    return sum;
  }

  // S at one position: one entry of the dictionary against the input under it.
  float entry_dot_product(const float* image, std::int64_t entry, std::int64_t row, std::int64_t column) const {
    const std::int64_t channels = dictionary_.in_channels_per_group();
    const float* values = weights_.dictionary() + entry * channels * dictionary_.taps();
    const float* plane = image + entry / dictionary_.out_channels_per_group() * channels * dictionary_.height *
                                     dictionary_.width;
    float sum = 0.0f;
    for (std::int64_t c = 0; c < channels; ++c, plane += dictionary_.height * dictionary_.width) {
      for (std::int64_t r = 0; r < dictionary_.kernel[0]; ++r) {
        const std::int64_t h = input_row(dictionary_, row, r);
        for (std::int64_t s = 0; s < dictionary_.kernel[1]; ++s, ++values) {
          const std::int64_t w = column * dictionary_.stride[1] - dictionary_.padding[1] + s * dictionary_.dilation[1];
          if (h < 0 || h >= dictionary_.height || w < 0 || w >= dictionary_.width) continue;
          sum += *values * plane[h * dictionary_.width + w];
        }
      }
    }
    return sum;
  }

  LookupProblem problem_;
  Conv2dProblem dictionary_ = problem_.dictionary_stage();
  Conv2dProblem lookup_ = problem_.lookup_stage();
  StoredWeights<float> weights_;
};

}  // namespace

const Variant naive_sparse{
    .name = "naive_sparse",
    .device = Device::cpu,
    .why_unsupported = why_not_fp32_nchw,
    .prepare = prepare_as<NaiveSparse>};

}  // namespace lcnn::cpu
