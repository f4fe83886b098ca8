// row_gather: lookups side by side, for layers with one output position, such as fully connected ones.
//
// Idea:    with one position an output channel's lookups are a sparse row and S is a vector: y = P S + b. There are no neighbouring
//          positions to take together, so a lookup is as small as it can be: a place in S and a coefficient, eight bytes.
// Compute: S of an image by a small product, then every channel's row, eight sums at once.
// Bound:   the table, eight bytes a lookup, and three loads for each.
#include <omp.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/pixel_product.h"

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kEntries = 32;  // of the dictionary, that a thread takes at a time
constexpr std::int64_t kChannels = 64;
constexpr int kSums = 8;

class RowGather final : public PreparedConvolution {
 public:
  RowGather(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout, const Execution& execution)
      : dictionary_stage_(problem.dictionary_stage()), lookup_stage_(problem.lookup_stage()) {
    Allocator& allocator = *execution.allocator;
    const auto kept = [&]<typename T>(const std::vector<T>& values, MemoryKind kind) {
      Buffer buffer(allocator, static_cast<std::int64_t>(values.size() * sizeof(T)), kind);
      std::ranges::copy(values, buffer.as<T>());
      return buffer;
    };
    dictionary_ = kept(weights.dictionary, MemoryKind::weights);
    std::vector<float> bias = weights.bias;
    bias.resize(lookup_stage_.out_channels);
    bias_ = kept(bias, MemoryKind::weights);
    const Rows rows = rows_of(weights.lookups);
    offsets_ = kept(rows.offsets, MemoryKind::prepared);
    places_ = kept(rows.places, MemoryKind::prepared);
    coefficients_ = kept(rows.coefficients, MemoryKind::prepared);
    s_ = Buffer(allocator, dictionary_stage_.output_elements() * 4, MemoryKind::workspace);
  }

  void run(const void* x, void* y, void*) override {
    form_s(static_cast<const float*>(x));
    gather(static_cast<float*>(y));
  }

 private:
  // The lookups of an output channel, those that the kernel reads outside the input dropped: places in an image's S.
  struct Rows {
    std::vector<std::int32_t> offsets{0};
    std::vector<std::int32_t> places;
    std::vector<float> coefficients;
  };

  Rows rows_of(const LookupTable& table) const {
    const Conv2dProblem& p = lookup_stage_;
    Rows rows;
    for (std::int64_t k = 0; k < p.out_channels; ++k) {
      for (std::int64_t tap = 0; tap < p.taps(); ++tap) {
        const std::int64_t row = tap / p.kernel[1] * p.dilation[0] - p.padding[0], column = tap % p.kernel[1] * p.dilation[1] - p.padding[1];
        if (row < 0 || row >= p.height || column < 0 || column >= p.width) continue;
        for (std::int32_t i = table.row_offsets[k * p.taps() + tap]; i < table.row_offsets[k * p.taps() + tap + 1]; ++i) {
          rows.places.push_back(static_cast<std::int32_t>((table.indices[i] * p.height + row) * p.width + column));
          rows.coefficients.push_back(table.coefficients[i]);
        }
      }
      rows.offsets.push_back(static_cast<std::int32_t>(rows.places.size()));
    }
    return rows;
  }

  void form_s(const float* x) const {
    const Conv2dProblem& p = dictionary_stage_;
    const std::int64_t channels = p.in_channels_per_group(), entries = p.out_channels_per_group(), plane = p.height * p.width;
#pragma omp parallel for collapse(3) schedule(static) num_threads(threads_)
    for (std::int64_t n = 0; n < p.batch; ++n) {
      for (std::int64_t g = 0; g < p.groups; ++g) {
        for (std::int64_t first = 0; first < entries; first += kEntries) {
          const std::int64_t entry = g * entries + first, count = std::min(kEntries, entries - first);
          const float* const d = dictionary_.as<float>() + entry * channels;
          const float* const image = x + (n * p.in_channels + g * channels) * plane;
          float* const s = s_.as<float>() + (n * p.out_channels + entry) * plane;
          if (plane == 1) {
            std::fill_n(s, count, 0.0f);
            pixel_dot_products(count, 1, channels, d, channels, image, channels, s);
          } else {
            pixel_product({d, count, channels, channels, 1}, plane, image, plane, s, plane);
          }
        }
      }
    }
  }

  void gather(float* y) const {
    const Conv2dProblem& p = lookup_stage_;
    const std::int64_t image = p.in_channels * p.height * p.width;
    const std::int32_t* const offsets = offsets_.as<std::int32_t>();
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (std::int64_t first = 0; first < p.out_channels; first += kChannels) {
      for (std::int64_t k = first; k < std::min(first + kChannels, p.out_channels); ++k) {
        for (std::int64_t n = 0; n < p.batch; ++n) {
          y[n * p.out_channels + k] = bias_.as<float>()[k] + row_sum(offsets[k], offsets[k + 1], s_.as<float>() + n * image);
        }
      }
    }
  }

  float row_sum(std::int32_t first, std::int32_t last, const float* s) const {
    const std::int32_t* const places = places_.as<std::int32_t>();
    const float* const coefficients = coefficients_.as<float>();
    std::array<float, kSums> sums{};
    std::int32_t i = first;
    for (; i + kSums <= last; i += kSums) {
      for (int j = 0; j < kSums; ++j) sums[j] += coefficients[i + j] * s[places[i + j]];
    }
    for (int j = 0; i < last; ++i, ++j) sums[j] += coefficients[i] * s[places[i]];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  }

  const Conv2dProblem dictionary_stage_, lookup_stage_;
  const int threads_ = omp_get_max_threads();
  Buffer dictionary_, bias_, offsets_, places_, coefficients_, s_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (std::string why = why_not_fp32_nchw(problem, precision, layout); !why.empty()) return why;
  if (problem.conv.out_height() * problem.conv.out_width() != 1) return "more than one output position is not supported";
  return problem.granularity == Granularity::vector ? "" : "a dictionary of filters is not supported, one of vectors is";
}

}  // namespace

const Variant row_gather{.name = "row_gather",
                         .device = Device::cpu,
                         .why_unsupported = why_unsupported,
                         .prepare = prepare_as<RowGather>};

}  // namespace lcnn::cpu
