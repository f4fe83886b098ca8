// flat_gather: X and S of a strip of rows lie flat in the cache, so that a tap is one constant offset and a lookup one stream.
//
// Idea:    rows of a tile are `pitch` apart with the padding's zeros between them, sorted by their remainders modulo the
//          stride; output pixels are computed in the same pitch. An output channel is then one list of (offset, coefficient),
//          and each lookup one run of vector FMAs over registers of sums, whatever the row length; the few pixels in the gaps
//          are computed, and squeezed out of the registers before they are stored.
// Compute: the dictionary as a product of a few entries x a few vectors held in registers, straight from X, whose next pixels
//          are prefetched; S is then moved to its places by shuffles of whole vectors. A kh x kw dictionary reads X from a
//          tile that is padded and flat in the same way. The gather takes all channels of a run of pixels in turn, so that the
//          S under them stays in the L1; channels with as many lookups follow each other, so that loops end where expected.
//          Where P is dense, four channels share each load of S, their lookups sorted by which of the four have them.
// Threads: a strip each where that keeps them about equally busy, else all threads share one strip after the other.
// Bound:   one load an FMA in the gather, from L1 or L2: most taps are not aligned, so one a cycle.
#include <omp.h>

#include <algorithm>
#include <array>
#include <map>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/flat_gather_loops.h"
#include "kernels/cpu/flat_layout.h"
#include "kernels/cpu/pixel_product.h"
#include "kernels/cpu/weights_copy.h"

namespace lcnn::cpu {
namespace {

// Dictionary entries whose sums are in registers together.
constexpr std::array kBlockSizes{8, 6, 5, 4};
// Of X and S of a strip. Most of it may lie beyond a core's L2: rows of S that two strips compute cost more.
constexpr std::int64_t kTileBytes = 2400 * 1024;
// Of the S that a gather block's lookups meet at a time: most of a core's L1.
constexpr std::int64_t kGatherBytes = 32 * 1024;
// Lookups of a channel that pay for keeping its sums in memory meanwhile.
constexpr std::int64_t kLeastLookups = 16;
// Of P that is not zero, so that channels in fours have enough in common.
constexpr double kDenseLookups = 0.15;

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

// Elements from plane to plane: a vector may be read and written beyond each, and an odd number of cache lines keeps planes
// apart in the cache.
std::int64_t plane_pitch(std::int64_t elements) { return ((elements + kBeyond + 15) / 16 | 1) * 16; }

// Whether X is padded and sorted in place of S: where D has the taps, and under strides where X is not more than S.
bool pads_x(const LookupProblem& problem) {
  const Conv2dProblem& conv = problem.conv;
  return problem.granularity == Granularity::filter || (conv.stride != Pair{1, 1} && conv.in_channels <= problem.dictionary_size);
}

// Output rows whose S, and X where it is copied, take kTileBytes; all strips about even.
std::int64_t strip_rows_for(const LookupProblem& problem) {
  const Conv2dProblem& conv = problem.conv;
  const auto bytes = [&](std::int64_t rows) {
    const FlatLayout layout(conv, rows);
    const std::int64_t plane = plane_pitch(layout.plane()), s_plane = problem.granularity == Granularity::filter ? plane_pitch(rows * layout.pitch()) : plane;
    return (pads_x(problem) ? conv.in_channels * plane + problem.dictionary_size * s_plane : problem.dictionary_size * 2 * plane) * 4;
  };
  std::int64_t most = conv.out_height();
  while (most > 1 && bytes(most) > kTileBytes) --most;
  const std::int64_t strips = (conv.out_height() + most - 1) / most;
  return (conv.out_height() + strips - 1) / strips;
}

// Where share `part` of `parts` about equal ones of `count` begins.
std::int64_t share(std::int64_t count, int part, int parts) { return count * part / parts; }

// [0, length) cut into blocks of at most `most` vectors, about even. Where blocks may not end beyond `length`, which is then a
// vector at least, the last one is moved back: it computes some elements again.
std::vector<FlatBlock> blocks_of(std::int64_t length, int lanes, int most, bool may_end_beyond) {
  std::vector<FlatBlock> blocks;
  const std::int64_t whole = may_end_beyond ? (length + lanes - 1) / lanes : length / lanes, count = (whole + most - 1) / most;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t first = whole * i / count, last = whole * (i + 1) / count;
    blocks.push_back({first * lanes, static_cast<int>(last - first)});
  }
  if (whole * lanes < length) blocks.push_back({length - lanes, 1});
  return blocks;
}

// Rows of one column phase and how they are placed.
struct RowPlaces {
  std::int64_t count;
  std::vector<RowPlace> rows;
};

// What is done for one strip, whatever the image.
struct StripPlan {
  RowsUnder under;
  std::vector<RowPlaces> rows;         // of X, or of S, to their places
  std::vector<PlaneVector> plane;      // in place of rows where S is moved by whole vectors
  std::vector<FlatBlock> form;         // that cover S; those behind the first form_units go with the last of these
  std::int64_t form_units;
  std::vector<FlatBlock> gather;       // that cover the output pixels
  std::vector<std::int64_t> first_out;  // of each gather block its first in `out`
  std::vector<OutVector> out;
};

class FlatGather final : public PreparedConvolution {
 public:
  FlatGather(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout, const Execution& execution)
      : problem_(stride_first(problem)), weights_(weights, *execution.allocator) {
    const std::int64_t under = layout_.rows() * conv_.width;  // a strip's values of one channel
    x_plane_ = plane_pitch(pads_x_ ? layout_.plane() : under);
    s_plane_ = one_position_ ? 1 : plane_pitch(of_filters_ ? strip_rows_ * layout_.pitch() : layout_.plane());
    run_plane_ = places_s_ ? plane_pitch(under) : 0;
    const std::int64_t slack = layout_.slack() + layout_.plane() + kBeyond;  // taps of blocks that end beyond the last plane
    x_elements_ = copies_x_ ? plane_pitch(conv_.in_channels * x_plane_ + slack) : 0;
    s_elements_ = plane_pitch(dictionary_.out_channels * s_plane_ + slack);
    scratch_elements_ = x_elements_ + s_elements_ + plane_pitch(dictionary_.out_channels * run_plane_ + kBeyond);
    tiles_ = Buffer(*execution.allocator, threads_ * scratch_elements_ * 4, MemoryKind::workspace);
    std::fill_n(tiles_.as<float>(), threads_ * scratch_elements_, 0.0f);
    const double places = static_cast<double>(conv_.out_channels * lookup_.taps() * dictionary_.out_channels_per_group());
    in_quads_ = static_cast<double>(weights.lookups.lookups()) > kDenseLookups * places;
    for (std::int64_t strip = 0; strip < strips_; ++strip) plans_.push_back(plan_of(strip));
    if (in_quads_) prepare_quads(weights.lookups, execution);
    else prepare_lookups(weights.lookups, execution);
    prepare_inner_offsets(execution);
    sums_ = Buffer(*execution.allocator, parts_ > 1 ? threads_ * conv_.out_channels * kMostGathered * 4 : 0, MemoryKind::workspace);
    pack_dictionary(weights.dictionary, execution);
  }

  void run(const void* x, void* y, void*) override {
    const auto* in = static_cast<const float*>(x);
    auto* out = static_cast<float*>(y);
    const std::int64_t units = conv_.batch * strips_;
    if (strip_each_) {
#pragma omp parallel for schedule(dynamic) num_threads(threads_)
      for (std::int64_t unit = 0; unit < units; ++unit) {
        float* tile = tile_of(omp_get_thread_num());
        copy_input(in, unit, 0, 1, tile);
        form_input_dictionary(in, unit, 0, 1, tile);
        place_input_dictionary(unit, 0, 1, tile);
        gather(unit, 0, 1, tile, out);
      }
      return;
    }
#pragma omp parallel num_threads(threads_)
    for (std::int64_t unit = 0; unit < units; ++unit) {
      const int part = omp_get_thread_num(), parts = omp_get_num_threads();
      if (copies_x_) {
        copy_input(in, unit, part, parts, tile_of(0));
#pragma omp barrier
      }
      form_input_dictionary(in, unit, part, parts, tile_of(0));
#pragma omp barrier
      if (places_s_) {
        place_input_dictionary(unit, part, parts, tile_of(0));
#pragma omp barrier
      }
      gather(unit, part, parts, tile_of(0), out);
#pragma omp barrier
    }
  }

  std::string choice() const override { return "strips of " + std::to_string(strip_rows_) + " rows"; }

 private:
  float* tile_of(int thread) const { return tiles_.as<float>() + thread * scratch_elements_; }
  float* s_of(float* tile) const { return tile + x_elements_; }
  float* run_of(float* tile) const { return tile + x_elements_ + s_elements_; }  // S as it is formed, without padding

  std::int64_t fewest_rows_under() const {
    std::int64_t fewest = conv_.height;
    for (std::int64_t strip = 0; strip < strips_; ++strip) {
      const RowsUnder under = layout_.rows_under(strip * strip_rows_);
      fewest = std::min(fewest, under.last - under.first);
    }
    return fewest;
  }

  StripPlan plan_of(std::int64_t strip) const {
    const auto [lanes, form_vectors, gather_vectors, quad_vectors] = block_shape(block_size_);
    StripPlan plan{.under = layout_.rows_under(strip * strip_rows_)};
    const std::int64_t rows = std::min(strip_rows_, conv_.out_height() - strip * strip_rows_);
    const std::int64_t pixels = (rows - 1) * layout_.pitch() + conv_.out_width();
    if (pads_x_ || conv_.stride != Pair{1, 1}) plan.rows = row_places(plan.under);
    else plan.plane = plane_vectors(plan.under, lanes);
    const std::int64_t formed = of_filters_ ? pixels : pads_x_ ? layout_.plane() : (plan.under.last - plan.under.first) * conv_.width;
    plan.form = blocks_of(formed, lanes, form_vectors, copies_x_);
    // A block that was moved back writes elements of the one in front again: one thread takes both.
    plan.form_units = std::ssize(plan.form) - (std::ssize(plan.form) > 1 && plan.form.back().start % lanes != 0);
    plan.gather = blocks_of(pixels, lanes, in_quads_ ? quad_vectors : gather_vectors, true);
    for (const FlatBlock& block : plan.gather) {
      plan.first_out.push_back(static_cast<std::int64_t>(plan.out.size()));
      append_out_vectors(block, pixels, lanes, plan.out);
    }
    return plan;
  }

  std::vector<RowPlaces> row_places(const RowsUnder& under) const {
    std::vector<RowPlaces> phases;
    for (std::int64_t phase = 0; phase < layout_.column_phases(); ++phase) {
      const auto [first, count, left] = layout_.columns_of(phase);
      RowPlaces places{count, {}};
      for (std::int64_t down = 0; down < layout_.rows(); ++down) {
        const std::int64_t row = under.top + down, row_phase = down % conv_.stride[0];
        if (row_phase >= layout_.row_phases()) continue;
        const bool inside = row >= under.first && row < under.last;
        places.rows.push_back({inside ? (row - under.first) * conv_.width + first : -1,
                               layout_.phase_start(row_phase, phase) + down / conv_.stride[0] * layout_.pitch() + left});
      }
      phases.push_back(std::move(places));
    }
    return phases;
  }

  // Strides of 1: a plane's vectors in terms of contiguous rows.
  std::vector<PlaneVector> plane_vectors(const RowsUnder& under, int lanes) const {
    std::vector<PlaneVector> vectors(static_cast<std::size_t>((layout_.plane() + lanes - 1) / lanes));
    std::int64_t element = 0;
    for (PlaneVector& vector : vectors) {
      vector = {.offset = -1};
      for (int lane = 0; lane < lanes; ++lane, ++element) {
        const std::int64_t row = under.top + element / layout_.pitch(), column = element % layout_.pitch() - conv_.padding[1];
        if (row < under.first || row >= under.last || column < 0 || column >= conv_.width) continue;
        const auto from = static_cast<std::int32_t>((row - under.first) * conv_.width + column);
        if (vector.offset < 0) vector.offset = from;
        vector.values[lane / 8] |= static_cast<std::uint8_t>(1 << (lane % 8));
        vector.indices[lane] = from - vector.offset;
      }
      vector.offset = std::max(vector.offset, 0);
    }
    return vectors;
  }

  // A vector is stored whole where what lies behind its pixels is stored later in the same block.
  void append_out_vectors(const FlatBlock& block, std::int64_t length, int lanes, std::vector<OutVector>& vectors) const {
    const std::int64_t out_w = conv_.out_width(), pitch = layout_.pitch();
    const auto pixels_before = [&](std::int64_t element) { return element / pitch * out_w + std::min(element % pitch, out_w); };
    const std::int64_t block_end = pixels_before(std::min(block.start + block.vectors * lanes, length));
    for (int v = 0; v < block.vectors; ++v) {
      const std::int64_t start = block.start + v * lanes;
      OutVector vector{.offset = static_cast<std::int32_t>(pixels_before(start))};
      for (int lane = 0, pixels = 0; lane < lanes; ++lane) {
        if (start + lane < length && (start + lane) % pitch < out_w) vector.pixels[pixels++] = lane;
      }
      vector.stored = static_cast<std::int32_t>(std::min<std::int64_t>(lanes, block_end - vector.offset));
      vectors.push_back(vector);
    }
  }

  // How many parts the dictionary is cut into, so that what a gather block's lookups meet of one part stays in the L1.
  std::int64_t parts_for(const LookupTable& table) const {
    const BlockShape shape = block_shape(block_size_);
    const std::int64_t rows_below = of_filters_ ? 0 : (lookup_.kernel[0] - 1) * lookup_.dilation[0] / lookup_.stride[0];
    const std::int64_t phases = of_filters_ ? 1 : layout_.row_phases() * layout_.column_phases();
    const std::int64_t met = std::min(shape.gather_vectors * shape.lanes + rows_below * layout_.pitch(), layout_.plane() / phases) * phases;
    const std::int64_t wanted = (dictionary_.out_channels * met * 4 + kGatherBytes - 1) / kGatherBytes;
    return std::clamp<std::int64_t>(table.lookups() / conv_.out_channels / kLeastLookups, 1, wanted);
  }

  // Lookups by slice of channels, part of the dictionary and channel, channels with fewest lookups of a part first.
  void prepare_lookups(const LookupTable& table, const Execution& execution) {
    parts_ = parts_for(table);
    lookups_ = Buffer(*execution.allocator, std::max<std::int64_t>(table.lookups(), 1) * static_cast<std::int64_t>(sizeof(FlatLookup)), MemoryKind::prepared);
    channels_ = Buffer(*execution.allocator, parts_ * conv_.out_channels * static_cast<std::int64_t>(sizeof(FlatChannel)), MemoryKind::prepared);
    FlatLookup* lookup = lookups_.as<FlatLookup>();
    FlatChannel* channel = channels_.as<FlatChannel>();
    for (std::int64_t slice = 0; slice < slices_; ++slice) {
      for (std::int64_t part = 0; part < parts_; ++part) {
        FlatChannel* const first = channel;
        for (std::int64_t k = slice_start(slice); k < slice_start(slice + 1); ++k) {
          const auto at = static_cast<std::int32_t>(lookup - lookups_.as<FlatLookup>());
          lookup = append_lookups(table, k, part, lookup);
          *channel++ = {static_cast<std::int32_t>(k), at, static_cast<std::int32_t>(lookup - lookups_.as<FlatLookup>()), weights_.bias(k)};
        }
        std::stable_sort(first, channel, [](const FlatChannel& a, const FlatChannel& b) { return a.last - a.first < b.last - b.first; });
      }
    }
  }

  // Lookups by four channels and by which of the four have them.
  void prepare_quads(const LookupTable& table, const Execution& execution) {
    std::vector<QuadLookup> lookups;
    quads_ = Buffer(*execution.allocator, quads() * static_cast<std::int64_t>(sizeof(ChannelQuad)), MemoryKind::prepared);
    for (std::int64_t q = 0; q < quads(); ++q) {
      ChannelQuad& quad = quads_.as<ChannelQuad>()[q] = {.channel = {-1, -1, -1, -1}};
      std::map<std::int32_t, std::pair<int, std::array<float, 4>>> met;  // by offset: which channels, their coefficients
      for (std::int64_t k = q * 4; k < std::min(q * 4 + 4, conv_.out_channels); ++k) {
        quad.channel[k % 4] = static_cast<std::int32_t>(k);
        quad.bias[k % 4] = weights_.bias(k);
        for (std::int64_t row = k * lookup_.taps(); row < (k + 1) * lookup_.taps(); ++row) {
          for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
            auto& [mask, coefficients] = met[lookup_offset(table.indices[i], row)];
            mask |= 1 << (k % 4);
            coefficients[k % 4] = table.coefficients[i];
          }
        }
      }
      for (int mask = 0; mask < 16; ++mask) {
        quad.first[mask] = static_cast<std::int32_t>(lookups.size());
        for (const auto& [offset, lookup] : met) {
          const auto& [a, b, c, d] = lookup.second;
          if (lookup.first == mask) lookups.push_back({offset, {a, b, c, d}});
        }
      }
      quad.first[16] = static_cast<std::int32_t>(lookups.size());
    }
    lookups_ = Buffer(*execution.allocator, std::max<std::int64_t>(std::ssize(lookups), 1) * static_cast<std::int64_t>(sizeof(QuadLookup)), MemoryKind::prepared);
    std::ranges::copy(lookups, lookups_.as<QuadLookup>());
  }
  std::int64_t quads() const { return (conv_.out_channels + 3) / 4; }

  // Each inner index's (channel, r, s) place in the input.
  void prepare_inner_offsets(const Execution& execution) {
    inner_offsets_ = Buffer(*execution.allocator, inner() * 8, MemoryKind::prepared);
    for (std::int64_t j = 0; j < inner(); ++j) {
      const std::int64_t plane = copies_x_ ? x_plane_ : conv_.height * conv_.width;
      inner_offsets_.as<std::int64_t>()[j] = j / dictionary_.taps() * plane + tap_offset(dictionary_, j % dictionary_.taps());
    }
  }
  // Those of channel k whose entries belong to the part.
  FlatLookup* append_lookups(const LookupTable& table, std::int64_t k, std::int64_t part, FlatLookup* lookup) const {
    const std::int64_t first = share(dictionary_.out_channels, part, parts_), last = share(dictionary_.out_channels, part + 1, parts_);
    for (std::int64_t row = k * lookup_.taps(); row < (k + 1) * lookup_.taps(); ++row) {
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        if (table.indices[i] < first || table.indices[i] >= last) continue;
        *lookup++ = {lookup_offset(table.indices[i], row), table.coefficients[i]};
      }
    }
    return lookup;
  }
  std::int32_t lookup_offset(std::int64_t entry, std::int64_t row) const {
    return static_cast<std::int32_t>(entry * s_plane_ + tap_offset(lookup_, row % lookup_.taps()));
  }
  // Slices of output channels, which threads take that share a strip.
  std::int64_t slice_start(std::int64_t slice) const { return conv_.out_channels * slice / slices_; }
  std::int64_t tap_offset(const Conv2dProblem& stage, std::int64_t tap) const {
    return stage.taps() == 1 ? 0 : layout_.tap_offset(tap / stage.kernel[1], tap % stage.kernel[1]);
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

  const float* input_under(const float* x, std::int64_t unit) const {
    return x + unit / strips_ * conv_.in_channels * conv_.height * conv_.width + plans_[unit % strips_].under.first * conv_.width;
  }

  // The unit's input, a share of its channels, where it is not read from its own place.
  void copy_input(const float* x, std::int64_t unit, int part, int parts, float* tile) const {
    if (!copies_x_) return;
    const StripPlan& plan = plans_[unit % strips_];
    const RowPlace together{0, 0};
    for (std::int64_t c = share(conv_.in_channels, part, parts); c < share(conv_.in_channels, part + 1, parts); ++c) {
      const float *from = input_under(x, unit) + c * conv_.height * conv_.width, *next = from + conv_.height * conv_.width;
      if (pads_x_) place(plan.rows, from, next, tile + c * x_plane_);
      else place_rows(&together, 1, (plan.under.last - plan.under.first) * conv_.width, 1, from, next, tile + c * x_plane_);
    }
  }
  void place(const std::vector<RowPlaces>& phases, const float* from, const float* next, float* plane) const {
    for (const RowPlaces& phase : phases) {
      place_rows(phase.rows.data(), static_cast<std::int64_t>(phase.rows.size()), phase.count, conv_.stride[1], from, next, plane);
      next = nullptr;  // column phases share their lines
    }
  }

  // S of the unit, a share of its blocks: all entries of some positions after those of others, so that X stays in the L1.
  void form_input_dictionary(const float* x, std::int64_t unit, int part, int parts, float* tile) const {
    if (one_position_) {
      form_one_position(x, unit, part, parts, s_of(tile));
      return;
    }
    const StripPlan& plan = plans_[unit % strips_];
    const float* in = copies_x_ ? tile : input_under(x, unit);
    const std::int64_t in_plane = copies_x_ ? x_plane_ : conv_.height * conv_.width, s_plane = places_s_ ? run_plane_ : s_plane_;
    const std::int64_t entry_blocks = conv_.groups * blocks_per_group_, blocks = plan.form_units * entry_blocks;
    for (std::int64_t block = share(blocks, part, parts); block < share(blocks, part + 1, parts); ++block) {
      const std::int64_t entry_block = block % entry_blocks, group = entry_block / blocks_per_group_;
      const std::int64_t in_group = entry_block % blocks_per_group_ * block_size_, per_group = dictionary_.out_channels_per_group();
      const DictionaryBlock entries{packed_.as<float>() + entry_block * inner() * block_size_, block_size_, inner(),
                                    inner_offsets_.as<std::int64_t>()};
      float* s = (places_s_ ? run_of(tile) : s_of(tile)) + (group * per_group + in_group) * s_plane;
      const bool fetch = !copies_x_ && entry_block % blocks_per_group_ == 0;
      const std::int64_t first = block / entry_blocks, last = first + 1 == plan.form_units ? std::ssize(plan.form) : first + 1;
      for (std::int64_t i = first; i < last; ++i) {
        form_block(entries, plan.form[i], fetch, in + group * conv_.in_channels_per_group() * in_plane,
                   static_cast<int>(std::min<std::int64_t>(block_size_, per_group - in_group)), s, s_plane);
      }
    }
  }

  // A matrix by a vector, D read once as it is stored: a share of the entries.
  void form_one_position(const float* x, std::int64_t unit, int part, int parts, float* s) const {
    const std::int64_t per_group = dictionary_.out_channels_per_group();
    for (std::int64_t group = 0; group < conv_.groups; ++group) {
      const std::int64_t first = group * per_group + share(per_group, part, parts), last = group * per_group + share(per_group, part + 1, parts);
      std::fill(s + first, s + last, 0.0f);
      pixel_dot_products(last - first, std::int64_t{1}, inner(), weights_.dictionary() + first * inner(), inner(),
                         input_under(x, unit) + group * inner(), inner(), s + first);
    }
  }

  // S to its places between the padding's zeros, a share of the entries.
  void place_input_dictionary(std::int64_t unit, int part, int parts, float* tile) const {
    if (!places_s_) return;
    const StripPlan& plan = plans_[unit % strips_];
    for (std::int64_t e = share(dictionary_.out_channels, part, parts); e < share(dictionary_.out_channels, part + 1, parts); ++e) {
      const float* from = run_of(tile) + e * run_plane_;
      float* plane = s_of(tile) + e * s_plane_;
      if (plan.rows.empty()) place_vectors(plan.plane.data(), static_cast<std::int64_t>(plan.plane.size()), from, plane);
      else place(plan.rows, from, nullptr, plane);
    }
  }

  // A share of the unit's blocks of output pixels and slices of channels, each for one part of the dictionary after the other.
  void gather(std::int64_t unit, int part, int parts, float* tile, float* y) const {
    const StripPlan& plan = plans_[unit % strips_];
    const std::int64_t out_w = conv_.out_width(), out_plane = conv_.out_height() * out_w;
    float* out = y + unit / strips_ * conv_.out_channels * out_plane + unit % strips_ * strip_rows_ * out_w;
    if (in_quads_) {
      gather_in_quads(plan, part, parts, s_of(tile), out);
      return;
    }
    float* sums = sums_.as<float>() + omp_get_thread_num() * conv_.out_channels * kMostGathered;
    const std::int64_t all = static_cast<std::int64_t>(plan.gather.size()) * slices_, last = share(all, part + 1, parts);
    for (std::int64_t at = share(all, part, parts); at < last; ++at) {
      const std::int64_t block = at / slices_, slice = at % slices_, count = slice_start(slice + 1) - slice_start(slice);
      const FlatChannel* channels = channels_.as<FlatChannel>() + slice_start(slice) * parts_;
      for (std::int64_t of = 0; of < parts_; ++of, channels += count) {
        gather_block({channels, count, lookups_.as<FlatLookup>()}, {of == 0, of == parts_ - 1, sums}, plan.gather[block],
                     plan.out.data() + plan.first_out[block], s_of(tile), out, out_plane);
      }
    }
  }

  void gather_in_quads(const StripPlan& plan, int part, int parts, const float* s, float* out) const {
    const std::int64_t all = static_cast<std::int64_t>(plan.gather.size()) * quads(), last = share(all, part + 1, parts);
    for (std::int64_t at = share(all, part, parts); at < last;) {
      const std::int64_t block = at / quads(), first = at % quads(), count = std::min(quads() - first, last - at);
      gather_quads(quads_.as<ChannelQuad>() + first, count, lookups_.as<QuadLookup>(), plan.gather[block], plan.out.data() + plan.first_out[block], s,
                   out, conv_.out_height() * conv_.out_width());
      at += count;
    }
  }

  LookupProblem problem_;
  Conv2dProblem conv_ = problem_.conv, dictionary_ = problem_.dictionary_stage(), lookup_ = problem_.lookup_stage();
  bool of_filters_ = problem_.granularity == Granularity::filter;  // D has the taps, and S is laid out as the output is
  int threads_ = omp_get_max_threads();                            // at preparation: each has its own scratch
  StoredWeights weights_;
  std::int64_t strip_rows_ = strip_rows_for(problem_);
  std::int64_t strips_ = (conv_.out_height() + strip_rows_ - 1) / strip_rows_;
  bool strip_each_ = (conv_.batch * strips_ + threads_ - 1) / threads_ * threads_ * 3 <= conv_.batch * strips_ * 4;
  int block_size_ = block_size_for(dictionary_.out_channels_per_group());
  FlatLayout layout_{conv_, strip_rows_};
  bool one_position_ = !of_filters_ && conv_.height * conv_.width == 1 && conv_.padding == Pair{0, 0};
  bool pads_x_ = !one_position_ && pads_x(problem_);  // else S is
  // Few positions are copied so that vectors may end beyond them.
  bool copies_x_ = pads_x_ || (!one_position_ && (conv_.height * conv_.width < 3 * kBeyond || fewest_rows_under() * conv_.width < kBeyond));
  // S is formed without padding, and moved to its places where there is some.
  bool places_s_ = !pads_x_ && (conv_.padding != Pair{0, 0} || conv_.stride != Pair{1, 1});
  std::int64_t x_plane_, s_plane_, run_plane_, x_elements_, s_elements_, scratch_elements_, blocks_per_group_;
  std::int64_t slices_ = strip_each_ ? 1 : std::min<std::int64_t>(threads_, conv_.out_channels), parts_ = 1;
  bool in_quads_ = false;
  std::vector<StripPlan> plans_;
  Buffer tiles_;          // per thread: X tile where it is copied, S tile, S without padding
  Buffer sums_;           // per thread: [out_channels][pixels of a gather block], where the dictionary is cut into parts
  Buffer channels_;       // [slice of channels][part of the dictionary][channel of the slice]
  Buffer quads_;          // in place of channels where P is dense
  Buffer lookups_;        // of these
  Buffer inner_offsets_;  // [channels of a group * taps of the dictionary]
  Buffer packed_;         // D
};

}  // namespace

const Variant flat_gather{.name = "flat_gather",
                          .device = Device::cpu,
                          .why_unsupported = why_not_fp32_nchw,
                          .prepare = prepare_as<FlatGather>};

}  // namespace lcnn::cpu
