// precompute_gather: S = conv(X, D) for the whole batch by the library's GEMM, then a gather over the lookups.
//
// S goes through memory: dictionary_size / in_channels of the input's bytes written once and read once per lookup.
// A 1x1 dictionary is one GEMM per image and group; a kh x kw one is unfolded strip by strip first.
#include <algorithm>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/unfold.h"
#include "kernels/cpu/weights_copy.h"
#include "kernels/row_accumulate.h"

namespace lcnn::cpu {
namespace {

// Unfolded columns are produced in strips of output rows that stay in the L2 cache.
constexpr std::int64_t kStripElements = 128 * 1024;

class PrecomputeGather final : public PreparedConvolution {
 public:
  PrecomputeGather(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout,
                   const Execution& execution)
      : problem_(problem), weights_(weights, *execution.allocator), gemm_(execution.host_gemm) {
    input_dictionary_ = Buffer(*execution.allocator, dictionary_.output_elements() * 4, MemoryKind::workspace);
    if (needs_unfold()) {
      const std::int64_t row_elements = patch_length() * dictionary_.out_width();
      strip_rows_ = std::clamp<std::int64_t>(kStripElements / row_elements, 1, dictionary_.out_height());
      unfolded_ = Buffer(*execution.allocator, strip_rows_ * row_elements * 4, MemoryKind::workspace);
    }
  }

  void run(const void* x, void* y, void*) override {
    precompute(static_cast<const float*>(x));
    gather(static_cast<float*>(y));
  }

 private:
  bool needs_unfold() const { return problem_.granularity == Granularity::filter; }
  std::int64_t patch_length() const { return dictionary_.in_channels_per_group() * dictionary_.taps(); }

  void precompute(const float* x) {
    const std::int64_t in_plane = dictionary_.height * dictionary_.width;
    const std::int64_t out_w = dictionary_.out_width(), out_plane = dictionary_.out_height() * out_w;
    const std::int64_t entries = dictionary_.out_channels_per_group();
    for (std::int64_t n = 0; n < dictionary_.batch; ++n) {
      for (std::int64_t g = 0; g < dictionary_.groups; ++g) {
        const float* in = x + (n * dictionary_.groups + g) * dictionary_.in_channels_per_group() * in_plane;
        const float* dictionary = weights_.dictionary() + g * entries * patch_length();
        float* out = input_dictionary_.as<float>() + (n * dictionary_.groups + g) * entries * out_plane;
        if (!needs_unfold()) {
          gemm_(entries, out_plane, patch_length(), dictionary, patch_length(), in, in_plane, out, out_plane);
          continue;
        }
        for (std::int64_t row = 0; row < dictionary_.out_height(); row += strip_rows_) {
          const std::int64_t columns = std::min(strip_rows_, dictionary_.out_height() - row) * out_w;
          unfold(in, row, columns / out_w);
          gemm_(entries, columns, patch_length(), dictionary, patch_length(), unfolded_.as<float>(), columns,
                out + row * out_w, out_plane);
        }
      }
    }
  }

  // unfolded [C/groups * dh * dw, rows * out_width] of the output rows from first_row.
  void unfold(const float* in, std::int64_t first_row, std::int64_t rows) {
#pragma omp parallel for schedule(static)
    for (std::int64_t patch = 0; patch < patch_length(); ++patch) {
      unfold_patch(dictionary_, patch, first_row, rows, in, unfolded_.as<float>() + patch * rows * dictionary_.out_width());
    }
  }

  void gather(float* y) const {
    const std::int64_t out_h = lookup_.out_height(), out_w = lookup_.out_width();
    const std::int64_t image = lookup_.in_channels * lookup_.height * lookup_.width;
#pragma omp parallel for collapse(3) schedule(static)
    for (std::int64_t n = 0; n < lookup_.batch; ++n) {
      for (std::int64_t k = 0; k < lookup_.out_channels; ++k) {
        for (std::int64_t row = 0; row < out_h; ++row) {
          gather_row(lookup_, k, row, weights_.row_offsets(), weights_.indices(), weights_.coefficients(),
                     weights_.bias(k), input_dictionary_.as<const float>() + n * image,
                     y + ((n * lookup_.out_channels + k) * out_h + row) * out_w);
        }
      }
    }
  }

  LookupProblem problem_;
  Conv2dProblem dictionary_ = problem_.dictionary_stage();
  Conv2dProblem lookup_ = problem_.lookup_stage();
  StoredWeights<float> weights_;
  HostGemm gemm_;
  Buffer input_dictionary_;  // S [batch, dictionary_size, H', W']
  Buffer unfolded_;
  std::int64_t strip_rows_ = 0;
};

}  // namespace

const Variant precompute_gather{
    .name = "precompute_gather",
    .device = Device::cpu,
    .why_unsupported = why_not_fp32_nchw,
    .prepare = prepare_as<PrecomputeGather>};

}  // namespace lcnn::cpu
