// flat_gather: S of a strip of rows lies flat in the cache, so that a tap is one constant offset and a lookup one stream.
//
// Idea:    rows of the S tile are `pitch` apart with the padding's zeros between them; output pixels are computed in the
//          same pitch. An output channel is then one list of (offset, coefficient), and each lookup one run of vector FMAs
//          over registers of sums, whatever the row length; the few pixels in the gaps are computed and dropped.
// Compute: the dictionary as a product of kEntries entries x kEntryVectors vectors held in registers, straight from X.
//          The gather takes all channels of a run of pixels in turn, so that the S under them stays in the L1.
// Threads: a strip each where there are enough of them, else all threads share one strip: entries, then channels.
// Bound:   one load an FMA in the gather, from L1 or L2.
#include <omp.h>

#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/weights_copy.h"

namespace lcnn::cpu {
namespace {

constexpr int kLanes = 16;
using Lanes = float __attribute__((vector_size(4 * kLanes)));  // split by the compiler where registers are narrower

constexpr int kEntries = 8, kEntryVectors = 3;   // dictionary entries x vectors of positions whose sums are in registers
constexpr int kGatherVectors = 8;                // vectors of output pixels whose sums are in registers
constexpr std::int64_t kTileBytes = 768 * 1024;  // of S: most of a core's L2

Lanes load(const float* values) {
  Lanes lanes;
  std::memcpy(&lanes, values, sizeof lanes);
  return lanes;
}
void store(float* values, const Lanes& lanes) { std::memcpy(values, &lanes, sizeof lanes); }

// Calls function(start, integral_constant<count>) for `count` vectors from `start` on, kVectors or 1, until `length`
// positions are covered. The last vector is moved back to end with them: it computes some positions again.
// length >= kLanes.
template <int kVectors, typename Function>
void for_each_block(std::int64_t length, const Function& function) {
  std::int64_t start = 0;
  for (; start + kVectors * kLanes <= length; start += kVectors * kLanes) function(start, std::integral_constant<int, kVectors>{});
  for (; start + kLanes <= length; start += kLanes) function(start, std::integral_constant<int, 1>{});
  if (start < length) function(length - kLanes, std::integral_constant<int, 1>{});
}

std::int64_t at_least_a_vector(std::int64_t length) { return std::max<std::int64_t>(length, kLanes); }

class FlatGather final : public PreparedConvolution {
 public:
  FlatGather(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout, const Execution& execution)
      : FlatGather(vector_form(problem, weights), execution) {}

  void run(const void* x, void* y, void*) override {
    const auto* in = static_cast<const float*>(x);
    auto* out = static_cast<float*>(y);
    const std::int64_t units = conv_.batch * strips_;
    if (units >= omp_get_max_threads()) {
#pragma omp parallel for schedule(dynamic)
      for (std::int64_t unit = 0; unit < units; ++unit) {
        float* tile = tile_of(omp_get_thread_num());
        form_input_dictionary(in, unit, 0, 1, tile);
        gather(unit, 0, 1, tile, out);
      }
      return;
    }
#pragma omp parallel
    for (std::int64_t unit = 0; unit < units; ++unit) {
      const int part = omp_get_thread_num(), parts = omp_get_num_threads();
      form_input_dictionary(in, unit, part, parts, tile_of(0));
#pragma omp barrier
      gather(unit, part, parts, tile_of(0), out);
#pragma omp barrier
    }
  }

  std::string choice() const override { return "strips of " + std::to_string(strip_rows_) + " rows"; }

 private:
  FlatGather(const VectorForm& form, const Execution& execution)
      : conv_(form.problem.conv), dictionary_size_(form.problem.dictionary_size), weights_(form.weights, *execution.allocator) {
    // One gap of zeros is the right padding of a row and the left padding of the next; output rows must fit, too.
    pitch_ = std::max(conv_.width + conv_.padding[1], conv_.out_width());
    const std::int64_t row_bytes = dictionary_size_ * pitch_ * 4, halo = (conv_.kernel[0] - 1) * conv_.dilation[0];
    strip_rows_ = std::clamp<std::int64_t>(kTileBytes / row_bytes - halo, 1, conv_.out_height());
    strips_ = (conv_.out_height() + strip_rows_ - 1) / strip_rows_;
    strip_rows_ = (conv_.out_height() + strips_ - 1) / strips_;  // even strips
    tile_rows_ = strip_rows_ + halo;
    plane_ = tile_rows_ * pitch_;
    // Behind the last plane: right padding, and what whole vectors read beyond it.
    tile_elements_ = (dictionary_size_ * plane_ + conv_.padding[1] + halo_columns() + 2 * kLanes + 63) / 64 * 64;
    run_elements_ = (at_least_a_vector(tile_rows_ * conv_.width) + 63) / 64 * 64;
    scratch_elements_ = tile_elements_ + kEntries * run_elements_;
    tiles_ = Buffer(*execution.allocator, omp_get_max_threads() * scratch_elements_ * 4, MemoryKind::workspace);
    prepare_offsets(form.weights.lookups, execution);
    pack_dictionary(form.weights.dictionary, execution);
  }

  std::int64_t halo_columns() const { return (conv_.kernel[1] - 1) * conv_.dilation[1]; }
  float* tile_of(int thread) const { return tiles_.as<float>() + thread * scratch_elements_; }
  // Each thread's own, also where the tile is shared.
  float* run_of_this_thread() const { return tile_of(omp_get_thread_num()) + tile_elements_; }

  void prepare_offsets(const LookupTable& table, const Execution& execution) {
    offsets_ = Buffer(*execution.allocator, std::max<std::int64_t>(table.lookups(), 1) * 4, MemoryKind::prepared);
    for (std::int64_t row = 0; row < table.rows(); ++row) {
      const std::int64_t tap = row % conv_.taps(), r = tap / conv_.kernel[1], s = tap % conv_.kernel[1];
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        offsets_.as<std::int32_t>()[i] = static_cast<std::int32_t>(table.indices[i] * plane_ + r * conv_.dilation[0] * pitch_ +
                                                                   s * conv_.dilation[1]);
      }
    }
  }

  // D as [block of kEntries][channel][kEntries]; blocks do not straddle groups, entries beyond a group are zero.
  void pack_dictionary(const std::vector<float>& dictionary, const Execution& execution) {
    const std::int64_t channels = conv_.in_channels_per_group(), per_group = dictionary_size_ / conv_.groups;
    blocks_per_group_ = (per_group + kEntries - 1) / kEntries;
    const std::int64_t elements = conv_.groups * blocks_per_group_ * channels * kEntries;
    packed_ = Buffer(*execution.allocator, elements * 4, MemoryKind::prepared);
    std::fill_n(packed_.as<float>(), elements, 0.0f);
    for (std::int64_t entry = 0; entry < dictionary_size_; ++entry) {
      const std::int64_t group = entry / per_group, in_group = entry % per_group;
      float* block = packed_.as<float>() + (group * blocks_per_group_ + in_group / kEntries) * channels * kEntries;
      for (std::int64_t c = 0; c < channels; ++c) block[c * kEntries + in_group % kEntries] = dictionary[entry * channels + c];
    }
  }

  // S of the unit's rows for every parts-th block of entries: tile [entry][tile row][padding, then width].
  void form_input_dictionary(const float* x, std::int64_t unit, int part, int parts, float* tile) const {
    const std::int64_t top = unit % strips_ * strip_rows_ - conv_.padding[0];
    const std::int64_t first = std::max<std::int64_t>(top, 0), last = std::min(top + tile_rows_, conv_.height);
    const std::int64_t per_group = dictionary_size_ / conv_.groups, channels = conv_.in_channels_per_group();
    const std::int64_t positions = std::max<std::int64_t>(last - first, 0) * conv_.width;
    float* run = run_of_this_thread();
    for (std::int64_t block = part; block < conv_.groups * blocks_per_group_; block += parts) {
      const std::int64_t group = block / blocks_per_group_, entry = group * per_group + block % blocks_per_group_ * kEntries;
      const std::int64_t count = std::min<std::int64_t>(kEntries, (group + 1) * per_group - entry);
      const float* in = x + ((unit / strips_ * conv_.in_channels + group * channels) * conv_.height + first) * conv_.width;
      if (positions > 0) multiply(in, packed_.as<float>() + block * channels * kEntries, positions, run);
      for (std::int64_t e = 0; e < count; ++e) {
        float* plane = tile + (entry + e) * plane_;
        std::fill_n(plane, plane_, 0.0f);
        for (std::int64_t row = first; row < last; ++row) {
          std::memcpy(plane + (row - top) * pitch_ + conv_.padding[1], run + e * run_elements_ + (row - first) * conv_.width,
                      conv_.width * 4);
        }
      }
    }
    if (part == 0) std::fill(tile + dictionary_size_ * plane_, tile + tile_elements_, 0.0f);
  }

  // run [kEntries][positions] = one packed block of D x X at contiguous positions.
  void multiply(const float* in, const float* block, std::int64_t positions, float* run) const {
    const std::int64_t channels = conv_.in_channels_per_group(), plane = conv_.height * conv_.width;
    if (positions < kLanes) {
      for (std::int64_t i = 0; i < kEntries * positions; ++i) {
        const std::int64_t e = i / positions, p = i % positions;
        float sum = 0.0f;
        for (std::int64_t c = 0; c < channels; ++c) sum += block[c * kEntries + e] * in[c * plane + p];
        run[e * run_elements_ + p] = sum;
      }
      return;
    }
    for_each_block<kEntryVectors>(positions, [&](std::int64_t start, auto count) {
      Lanes sums[kEntries][count()] = {};
      const float* pixels = in + start;
      const float* values = block;
      for (std::int64_t c = 0; c < channels; ++c, pixels += plane, values += kEntries) {
        Lanes x[count()];
        for (int v = 0; v < count(); ++v) {
          x[v] = load(pixels + v * kLanes);
          // As many streams as channels are too many for the hardware: the next block's pixels are asked for here.
          __builtin_prefetch(pixels + (count() + v) * kLanes);
        }
        for (int e = 0; e < kEntries; ++e) {
          for (int v = 0; v < count(); ++v) sums[e][v] += values[e] * x[v];
        }
      }
      for (int e = 0; e < kEntries; ++e) {
        for (int v = 0; v < count(); ++v) store(run + e * run_elements_ + start + v * kLanes, sums[e][v]);
      }
    });
  }

  // Every parts-th output channel of the unit's rows.
  void gather(std::int64_t unit, int part, int parts, const float* tile, float* y) const {
    const std::int64_t first = unit % strips_ * strip_rows_;
    const std::int64_t rows = std::min(strip_rows_, conv_.out_height() - first), out_w = conv_.out_width();
    const std::int64_t length = (rows - 1) * pitch_ + out_w, out_plane = conv_.out_height() * out_w;
    float* out = y + unit / strips_ * conv_.out_channels * out_plane + first * out_w;
    for_each_block<kGatherVectors>(at_least_a_vector(length), [&](std::int64_t start, auto count) {
      for (std::int64_t k = part; k < conv_.out_channels; k += parts) {
        const std::int32_t* row_offsets = weights_.row_offsets() + k * conv_.taps();
        Lanes sums[count()];
        for (int v = 0; v < count(); ++v) sums[v] = weights_.bias(k) - Lanes{};
        for (std::int32_t i = row_offsets[0]; i < row_offsets[conv_.taps()]; ++i) {
          const float coefficient = weights_.coefficients()[i];
          const float* s = tile + offsets_.as<std::int32_t>()[i] + start;
          for (int v = 0; v < count(); ++v) sums[v] += coefficient * load(s + v * kLanes);
        }
        float pixels[count() * kLanes];
        for (int v = 0; v < count(); ++v) store(pixels + v * kLanes, sums[v]);
        write_rows(pixels, start, std::min(start + count() * kLanes, length), out + k * out_plane);
      }
    });
  }

  // Pixels start .. end in the tile's pitch to rows of out_width, without the gaps between them.
  void write_rows(const float* pixels, std::int64_t start, std::int64_t end, float* out) const {
    const std::int64_t out_w = conv_.out_width();
    std::int64_t row = start / pitch_, column = start % pitch_;
    for (std::int64_t at = start; at < end; at += pitch_ - column, column = 0, ++row) {
      const std::int64_t count = std::min(out_w - column, end - at);
      if (count > 0) std::memcpy(out + row * out_w + column, pixels + (at - start), static_cast<std::size_t>(count) * 4);
    }
  }

  Conv2dProblem conv_;
  std::int64_t dictionary_size_;
  StoredWeights weights_;
  std::int64_t pitch_, strip_rows_, strips_, tile_rows_, plane_;
  std::int64_t tile_elements_, run_elements_, scratch_elements_, blocks_per_group_;
  Buffer tiles_;    // per thread: the S tile, then kEntries runs of contiguous positions
  Buffer offsets_;  // [lookups]
  Buffer packed_;   // D
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (problem.conv.stride != Pair{1, 1}) return "strides above 1 are not supported";
  return why_not_fp32_nchw(vector_form(problem), precision, layout);
}

}  // namespace

const Variant flat_gather{.name = "flat_gather",
                          .device = Device::cpu,
                          .why_unsupported = why_unsupported,
                          .prepare = prepare_as<FlatGather>};

}  // namespace lcnn::cpu
