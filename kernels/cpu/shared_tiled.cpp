// shared_tiled: strips of output rows; the strip's input and S stay in the cache, S never reaches memory.
//
// Per strip: copy the input rows with their halo into a zero-padded tile, form S of the strip as a register-tiled
// product (kEntries dictionary entries x kColumns pixels of accumulators), then gather it with the output pixels in
// registers. Padding lives in the tiles, so no inner loop tests bounds. Bound: FMA rate while the tiles fit the L2.
#include <omp.h>

#include <algorithm>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/weights_copy.h"
#include "kernels/row_accumulate.h"

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kEntries = 4;   // dictionary entries whose sums are held in registers together
constexpr std::int64_t kColumns = 32;  // pixels whose sums are held in registers together
constexpr std::int64_t kTileElements = 192 * 1024;  // S tile + input tile of a thread: 768 KiB, most of an L2

std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// A tile of rows of several planes with its padding made explicit: row 0, column 0 is input (first_row, -padding).
struct TileShape {
  std::int64_t rows, pitch;
  TileShape(const Conv2dProblem& stage, std::int64_t out_rows)
      : rows((out_rows - 1) * stage.stride[0] + (stage.kernel[0] - 1) * stage.dilation[0] + 1),
        pitch((round_up(stage.out_width(), kColumns) - 1) * stage.stride[1] +
              (stage.kernel[1] - 1) * stage.dilation[1] + 1) {
    pitch = std::max(pitch, stage.width + stage.padding[1]);
  }
  std::int64_t plane() const { return rows * pitch; }
};

class SharedTiled final : public PreparedConvolution {
 public:
  SharedTiled(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout,
              const Execution& execution)
      : problem_(problem), weights_(weights, *execution.allocator) {
    while (strip_rows_ > 1 && tile_elements() > kTileElements) strip_rows_ = (strip_rows_ + 1) / 2;
    tiles_ = Buffer(*execution.allocator, threads_ * tile_elements() * 4, MemoryKind::workspace);
  }

  void run(const void* x, void* y, void*) override {
    const std::int64_t strips = (lookup_.out_height() + strip_rows_ - 1) / strip_rows_;
    const std::int64_t in_image = dictionary_.in_channels * dictionary_.height * dictionary_.width;
    const std::int64_t out_image = lookup_.out_channels * lookup_.out_height() * lookup_.out_width();
    const TileShape s_shape(lookup_, strip_rows_);
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads_)
    for (std::int64_t n = 0; n < lookup_.batch; ++n) {
      for (std::int64_t strip = 0; strip < strips; ++strip) {
        float* s_tile = tiles_.as<float>() + omp_get_thread_num() * tile_elements();
        float* x_tile = s_tile + dictionary_.out_channels * s_shape.plane();
        const std::int64_t first = strip * strip_rows_;
        const std::int64_t last = std::min(first + strip_rows_, lookup_.out_height());
        form_input_dictionary(static_cast<const float*>(x) + n * in_image, first, x_tile, s_tile);
        gather(s_tile, first, last, static_cast<float*>(y) + n * out_image);
      }
    }
  }

  std::string choice() const override { return "strip of " + std::to_string(strip_rows_) + " rows"; }

 private:
  std::int64_t s_rows() const { return TileShape(lookup_, strip_rows_).rows; }
  TileShape input_shape() const { return TileShape(dictionary_, s_rows()); }
  std::int64_t tile_elements() const {
    return round_up(dictionary_.out_channels * TileShape(lookup_, strip_rows_).plane() +
                        dictionary_.in_channels * input_shape().plane(), 64);
  }

  // S rows [first * stride - padding, + s_rows) of all dictionary entries, zero where the lookups' padding lies.
  void form_input_dictionary(const float* image, std::int64_t first, float* x_tile, float* s_tile) const {
    const TileShape shape(lookup_, strip_rows_);
    const std::int64_t first_s_row = input_row(lookup_, first, 0);
    std::fill_n(s_tile, dictionary_.out_channels * shape.plane(), 0.0f);
    copy_input(image, input_row(dictionary_, first_s_row, 0), x_tile);
    const std::int64_t entries = dictionary_.out_channels_per_group();
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      const std::int64_t s_row = first_s_row + row;
      if (s_row < 0 || s_row >= dictionary_.out_height()) continue;
      for (std::int64_t g = 0; g < dictionary_.groups; ++g) {
        const float* x_group = x_tile + g * dictionary_.in_channels_per_group() * input_shape().plane();
        for (std::int64_t column = 0; column < dictionary_.out_width(); column += kColumns) {
          const std::int64_t columns = std::min(kColumns, dictionary_.out_width() - column);
          std::int64_t e = g * entries;
          const std::int64_t end = e + entries;
          float* out = s_tile + row * shape.pitch + lookup_.padding[1] + column;
          for (; e + kEntries <= end; e += kEntries) {
            dictionary_block<kEntries>(x_group, row, column, columns, e, out + e * shape.plane(), shape.plane());
          }
          for (; e < end; ++e) {
            dictionary_block<1>(x_group, row, column, columns, e, out + e * shape.plane(), shape.plane());
          }
        }
      }
    }
  }

  void copy_input(const float* image, std::int64_t first_row, float* x_tile) const {
    const TileShape shape = input_shape();
    for (std::int64_t c = 0; c < dictionary_.in_channels; ++c) {
      for (std::int64_t row = 0; row < shape.rows; ++row, x_tile += shape.pitch) {
        const std::int64_t h = first_row + row;
        const bool inside = h >= 0 && h < dictionary_.height;
        const float* in = image + (c * dictionary_.height + h) * dictionary_.width;
        const std::int64_t left = std::min(dictionary_.padding[1], shape.pitch);
        std::fill_n(x_tile, left, 0.0f);
        const std::int64_t width = std::min(dictionary_.width, shape.pitch - left);
        if (inside) std::copy_n(in, width, x_tile + left);
        else std::fill_n(x_tile + left, width, 0.0f);
        std::fill(x_tile + left + width, x_tile + shape.pitch, 0.0f);
      }
    }
  }

  // kCount entries from `entry` x kColumns pixels from `column` of one S row.
  template <int kCount>
  void dictionary_block(const float* x_group, std::int64_t row, std::int64_t column, std::int64_t columns,
                        std::int64_t entry, float* out, std::int64_t out_plane) const {
    if (dictionary_.stride[1] == 1) dictionary_block<kCount, true>(x_group, row, column, columns, entry, out, out_plane);
    else dictionary_block<kCount, false>(x_group, row, column, columns, entry, out, out_plane);
  }

  template <int kCount, bool kUnitStride>
  void dictionary_block(const float* x_group, std::int64_t row, std::int64_t column, std::int64_t columns,
                        std::int64_t entry, float* out, std::int64_t out_plane) const {
    const TileShape shape = input_shape();
    const std::int64_t patch = dictionary_.in_channels_per_group() * dictionary_.taps();
    const std::int64_t stride = kUnitStride ? 1 : dictionary_.stride[1];
    const float* values = weights_.dictionary() + entry * patch;
    float sums[kCount][kColumns] = {};
    for (std::int64_t c = 0; c < dictionary_.in_channels_per_group(); ++c) {
      for (std::int64_t r = 0; r < dictionary_.kernel[0]; ++r) {
        const float* in = x_group + c * shape.plane() +
                          (row * dictionary_.stride[0] + r * dictionary_.dilation[0]) * shape.pitch + column * stride;
        for (std::int64_t s = 0; s < dictionary_.kernel[1]; ++s, ++values, in += dictionary_.dilation[1]) {
          for (int e = 0; e < kCount; ++e) {
            const float value = values[e * patch];
            for (int j = 0; j < kColumns; ++j) sums[e][j] += value * in[j * stride];
          }
        }
      }
    }
    for (int e = 0; e < kCount; ++e) std::copy_n(sums[e], columns, out + e * out_plane);
  }

  void gather(const float* s_tile, std::int64_t first, std::int64_t last, float* y) const {
    const std::int64_t out_w = lookup_.out_width();
    for (std::int64_t k = 0; k < lookup_.out_channels; ++k) {
      for (std::int64_t row = first; row < last; ++row) {
        float* out = y + (k * lookup_.out_height() + row) * out_w;
        const float* tile_row = s_tile + (row - first) * lookup_.stride[0] * TileShape(lookup_, strip_rows_).pitch;
        for (std::int64_t column = 0; column < out_w; column += kColumns) {
          const std::int64_t columns = std::min(kColumns, out_w - column);
          if (lookup_.stride[1] == 1) gather_block<true>(tile_row, k, column, columns, out + column);
          else gather_block<false>(tile_row, k, column, columns, out + column);
        }
      }
    }
  }

  template <bool kUnitStride>
  void gather_block(const float* tile_row, std::int64_t k, std::int64_t column, std::int64_t columns,
                    float* out) const {
    const TileShape shape(lookup_, strip_rows_);
    const std::int64_t stride = kUnitStride ? 1 : lookup_.stride[1];
    float sums[kColumns];
    std::fill_n(sums, kColumns, weights_.bias(k));
    for (std::int64_t r = 0; r < lookup_.kernel[0]; ++r) {
      for (std::int64_t s = 0; s < lookup_.kernel[1]; ++s) {
        const float* in = tile_row + r * lookup_.dilation[0] * shape.pitch + s * lookup_.dilation[1] + column * stride;
        const std::int64_t position = (k * lookup_.kernel[0] + r) * lookup_.kernel[1] + s;
        for (std::int32_t i = weights_.row_offsets()[position]; i < weights_.row_offsets()[position + 1]; ++i) {
          const float coefficient = weights_.coefficients()[i];
          const float* plane = in + weights_.indices()[i] * shape.plane();
          for (int j = 0; j < kColumns; ++j) sums[j] += coefficient * plane[j * stride];
        }
      }
    }
    std::copy_n(sums, columns, out);
  }

  LookupProblem problem_;
  Conv2dProblem dictionary_ = problem_.dictionary_stage();
  Conv2dProblem lookup_ = problem_.lookup_stage();
  StoredWeights<float> weights_;
  int threads_ = omp_get_max_threads();  // at preparation: each has its own tiles
  std::int64_t strip_rows_ = std::min<std::int64_t>(lookup_.out_height(), 8);
  Buffer tiles_;  // per thread: S tile [dictionary_size, rows, pitch], input tile [in_channels, rows, pitch]
};

}  // namespace

const Variant shared_tiled{
    .name = "shared_tiled",
    .device = Device::cpu,
    .why_unsupported = why_not_fp32_nchw,
    .prepare = prepare_as<SharedTiled>};

}  // namespace lcnn::cpu
