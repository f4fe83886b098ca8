// flat_gather: S of a strip of rows lies flat in the cache, so that a tap is one constant offset and a lookup one stream.
//
// Idea:    rows of the S tile are `pitch` apart with the padding's zeros between them, sorted by their remainders modulo
//          the stride; output pixels are computed in the same pitch. An output channel is then one list of (offset, coefficient), and each lookup one run of vector FMAs
//          over registers of sums, whatever the row length; the few pixels in the gaps are computed and dropped.
// Compute: the dictionary as a product of a few entries x a few vectors held in registers, straight from X; a
//          kh x kw dictionary reads X from a tile that is padded and flat in the same way.
//          The gather takes all channels of a run of pixels in turn, so that the S under them stays in the L1.
// Threads: a strip each where there are enough of them, else all threads share one strip: entries, then channels.
// Bound:   one load an FMA in the gather, from L1 or L2.
#include <omp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/flat_gather_loops.h"
#include "kernels/cpu/flat_layout.h"
#include "kernels/cpu/weights_copy.h"

namespace lcnn::cpu {
namespace {

// Dictionary entries whose sums are in registers together.
constexpr std::array kBlockSizes{8, 6, 5, 4};
constexpr std::int64_t kTileBytes = 768 * 1024;  // of S: most of a core's L2

// The block size that computes the fewest entries that are not there, the larger one of equals.
int block_size_for(std::int64_t entries) {
  const auto computed = [&](int size) { return (entries + size - 1) / size * size; };
  return *std::ranges::min_element(kBlockSizes, {}, computed);
}

// With a 1x1 kernel the two granularities are one; a filter's takes the stride before it forms S.
LookupProblem stride_first(LookupProblem problem) {
  if (problem.conv.kernel == Pair{1, 1} && problem.conv.stride != Pair{1, 1}) problem.granularity = Granularity::filter;
  return problem;
}

// Output rows whose S, and X where it is copied, take kTileBytes; all strips about even.
std::int64_t strip_rows_for(const LookupProblem& problem) {
  const Conv2dProblem& conv = problem.conv;
  const FlatLayout one(conv, 1);
  const std::int64_t planes = problem.granularity == Granularity::filter ? problem.dictionary_size + conv.in_channels * one.phases()
                                                                         : problem.dictionary_size * one.phases();
  const std::int64_t halo = (conv.kernel[0] - 1) * conv.dilation[0] / conv.stride[0];
  const std::int64_t most = std::clamp<std::int64_t>(kTileBytes / (planes * one.pitch() * 4) - halo, 1, conv.out_height());
  const std::int64_t strips = (conv.out_height() + most - 1) / most;
  return (conv.out_height() + strips - 1) / strips;
}

class FlatGather final : public PreparedConvolution {
 public:
  FlatGather(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout, const Execution& execution)
      : problem_(stride_first(problem)), weights_(weights, *execution.allocator) {
    block_size_ = block_size_for(dictionary_.out_channels_per_group());
    x_plane_ = from_tile_ ? layout_.plane() : 0;
    s_plane_ = from_tile_ ? strip_rows_ * layout_.pitch() : layout_.plane();
    const std::int64_t slack = layout_.slack() + kReadBeyond;
    x_elements_ = round_up(conv_.in_channels * x_plane_ + slack);
    tile_elements_ = x_elements_ + round_up(dictionary_.out_channels * s_plane_ + slack);
    run_elements_ = round_up(from_tile_ ? s_plane_ : layout_.rows() * conv_.width);
    scratch_elements_ = tile_elements_ + block_size_ * run_elements_;
    tiles_ = Buffer(*execution.allocator, threads_ * scratch_elements_ * 4, MemoryKind::workspace);
    std::fill_n(tiles_.as<float>(), threads_ * scratch_elements_, 0.0f);
    prepare_offsets(weights.lookups, execution);
    pack_dictionary(weights.dictionary, execution);
  }

  void run(const void* x, void* y, void*) override {
    const auto* in = static_cast<const float*>(x);
    auto* out = static_cast<float*>(y);
    const std::int64_t units = conv_.batch * strips_;
    if (units >= threads_) {
#pragma omp parallel for schedule(dynamic) num_threads(threads_)
      for (std::int64_t unit = 0; unit < units; ++unit) {
        float* tile = tile_of(omp_get_thread_num());
        if (from_tile_) copy_input(in, unit, 0, 1, tile);
        form_input_dictionary(in, unit, 0, 1, tile);
        gather(unit, 0, 1, tile, out);
      }
      return;
    }
#pragma omp parallel num_threads(threads_)
    for (std::int64_t unit = 0; unit < units; ++unit) {
      const int part = omp_get_thread_num(), parts = omp_get_num_threads();
      if (from_tile_) {
        copy_input(in, unit, part, parts, tile_of(0));
#pragma omp barrier
      }
      form_input_dictionary(in, unit, part, parts, tile_of(0));
#pragma omp barrier
      gather(unit, part, parts, tile_of(0), out);
#pragma omp barrier
    }
  }

  std::string choice() const override { return "strips of " + std::to_string(strip_rows_) + " rows"; }

 private:
  static std::int64_t round_up(std::int64_t elements) { return (elements + 63) / 64 * 64; }
  float* tile_of(int thread) const { return tiles_.as<float>() + thread * scratch_elements_; }
  float* s_of(float* tile) const { return tile + x_elements_; }
  // Each thread's own, also where the tile is shared.
  float* run_of_this_thread() const { return tile_of(omp_get_thread_num()) + tile_elements_; }

  // A lookup's place in the S tile, and an inner index's (channel, r, s) place in X or its tile.
  void prepare_offsets(const LookupTable& table, const Execution& execution) {
    offsets_ = Buffer(*execution.allocator, std::max<std::int64_t>(table.lookups(), 1) * 4, MemoryKind::prepared);
    for (std::int64_t row = 0; row < table.rows(); ++row) {
      const std::int64_t tap = row % lookup_.taps();
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        offsets_.as<std::int32_t>()[i] = static_cast<std::int32_t>(table.indices[i] * s_plane_ + tap_offset(lookup_, tap));
      }
    }
    const std::int64_t x_plane = from_tile_ ? x_plane_ : conv_.height * conv_.width;
    inner_offsets_ = Buffer(*execution.allocator, inner() * 8, MemoryKind::prepared);
    for (std::int64_t j = 0; j < inner(); ++j) {
      inner_offsets_.as<std::int64_t>()[j] = j / dictionary_.taps() * x_plane + tap_offset(dictionary_, j % dictionary_.taps());
    }
  }
  std::int64_t tap_offset(const Conv2dProblem& stage, std::int64_t tap) const {
    return layout_.tap_offset(tap / stage.kernel[1], tap % stage.kernel[1]);
  }
  std::int64_t inner() const { return dictionary_.in_channels_per_group() * dictionary_.taps(); }

  // D as [block][inner index][entry of the block]; blocks do not straddle groups, entries beyond a group are zero.
  void pack_dictionary(const std::vector<float>& dictionary, const Execution& execution) {
    const std::int64_t per_group = dictionary_.out_channels_per_group();
    blocks_per_group_ = (per_group + block_size_ - 1) / block_size_;
    const std::int64_t elements = conv_.groups * blocks_per_group_ * inner() * block_size_;
    packed_ = Buffer(*execution.allocator, elements * 4, MemoryKind::prepared);
    std::fill_n(packed_.as<float>(), elements, 0.0f);
    for (std::int64_t entry = 0; entry < dictionary_.out_channels; ++entry) {
      const std::int64_t group = entry / per_group, in_group = entry % per_group;
      float* block = packed_.as<float>() + (group * blocks_per_group_ + in_group / block_size_) * inner() * block_size_;
      for (std::int64_t j = 0; j < inner(); ++j) block[j * block_size_ + in_group % block_size_] = dictionary[entry * inner() + j];
    }
  }

  RowsUnder rows_under(std::int64_t unit) const { return layout_.rows_under(unit % strips_ * strip_rows_); }

  // The unit's input, every parts-th channel.
  void copy_input(const float* x, std::int64_t unit, int part, int parts, float* tile) const {
    const RowsUnder rows = rows_under(unit);
    for (std::int64_t c = part; c < conv_.in_channels; c += parts) {
      const float* from = x + ((unit / strips_ * conv_.in_channels + c) * conv_.height + rows.first) * conv_.width;
      layout_.place_rows(from, rows, tile + c * x_plane_);
    }
  }

  // S of the unit, every parts-th block of entries: [entry][tile row][padding, then width].
  void form_input_dictionary(const float* x, std::int64_t unit, int part, int parts, float* tile) const {
    const RowsUnder rows = rows_under(unit);
    const std::int64_t channels = conv_.in_channels_per_group(), per_group = dictionary_.out_channels_per_group();
    const std::int64_t positions = from_tile_ ? s_plane_ : (rows.last - rows.first) * conv_.width;
    float* run = run_of_this_thread();
    for (std::int64_t block = part; block < conv_.groups * blocks_per_group_; block += parts) {
      const std::int64_t group = block / blocks_per_group_, in_group = block % blocks_per_group_ * block_size_;
      const float* in = from_tile_ ? tile + group * channels * x_plane_
                                   : x + ((unit / strips_ * conv_.in_channels + group * channels) * conv_.height + rows.first) * conv_.width;
      const DictionaryBlock entries{packed_.as<float>() + block * inner() * block_size_, block_size_, inner(),
                                    inner_offsets_.as<std::int64_t>()};
      form_block(entries, in, positions, run, run_elements_);
      for (std::int64_t e = 0; e < std::min<std::int64_t>(block_size_, per_group - in_group); ++e) {
        float* plane = s_of(tile) + (group * per_group + in_group + e) * s_plane_;
        if (from_tile_) std::memcpy(plane, run + e * run_elements_, static_cast<std::size_t>(positions) * 4);
        else layout_.place_rows(run + e * run_elements_, rows, plane);
      }
    }
  }

  // Every parts-th output channel of the unit's rows.
  void gather(std::int64_t unit, int part, int parts, float* tile, float* y) const {
    const std::int64_t first = unit % strips_ * strip_rows_;
    const std::int64_t out_w = conv_.out_width(), out_plane = conv_.out_height() * out_w;
    const OutputRows rows{std::min(strip_rows_, conv_.out_height() - first), out_w, layout_.pitch()};
    gather_rows(weights_, offsets_.as<std::int32_t>(), lookup_.taps(), s_of(tile), rows, {part, parts, conv_.out_channels},
                y + unit / strips_ * conv_.out_channels * out_plane + first * out_w, out_plane);
  }

  LookupProblem problem_;
  Conv2dProblem conv_ = problem_.conv, dictionary_ = problem_.dictionary_stage(), lookup_ = problem_.lookup_stage();
  bool from_tile_ = problem_.granularity == Granularity::filter;  // X is copied into a tile, laid out as S is elsewhere
  int threads_ = omp_get_max_threads();                           // at preparation: each has its own scratch
  StoredWeights weights_;
  std::int64_t strip_rows_ = strip_rows_for(problem_);
  std::int64_t strips_ = (conv_.out_height() + strip_rows_ - 1) / strip_rows_;
  FlatLayout layout_{conv_, strip_rows_};
  std::int64_t x_plane_, s_plane_, x_elements_, tile_elements_, run_elements_, scratch_elements_, blocks_per_group_;
  int block_size_;
  Buffer tiles_;          // per thread: X tile, S tile, block_size_ runs of contiguous positions
  Buffer offsets_;        // [lookups]
  Buffer inner_offsets_;  // [channels of a group * taps of the dictionary]
  Buffer packed_;         // D
};

}  // namespace

const Variant flat_gather{.name = "flat_gather",
                          .device = Device::cpu,
                          .why_unsupported = why_not_fp32_nchw,
                          .prepare = prepare_as<FlatGather>};

}  // namespace lcnn::cpu
