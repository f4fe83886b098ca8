// flat_gather: X and S of a strip of rows lie flat in the cache, so that a tap is one constant offset and a lookup one stream.
//
// Idea:    rows of a tile are `pitch` apart with the padding's zeros between them, sorted by their remainders modulo the
//          stride; output pixels are computed in the same pitch. An output channel is then one list of (offset, coefficient),
//          and each lookup one run of vector FMAs over registers of sums, whatever the row length; the few pixels in the gaps
//          are computed, and squeezed out of the registers before they are stored.
// Compute: the dictionary as a product of a few entries x a few vectors held in registers, straight from X, whose next pixels
//          are prefetched, or by the matrix unit where the processor has one (amx_product.h); S is then moved to its places by
//          shuffles of whole vectors, or leaves the unit there. A kh x kw dictionary reads X from a tile
//          that is padded and flat in the same way. The gather takes all channels of a run of pixels in turn, so that the
//          S under them stays in the L1; channels with as many lookups follow each other, so that loops end where expected.
//          Where P is dense, four channels share each load of S, their lookups sorted by which of the four have them. Where it is
//          half so, a channel's lookups are taken column by column of the kernel, the last one first, with rows that begin with
//          a vector: no load crosses a cache line, and the sums move by one element from column to column (Horner's rule).
//          Taps that would look up a dictionary larger than their own filters are such filters: see folded_taps.h.
// Threads: a strip each where that keeps them about equally busy, else all threads share one strip after the other.
// Bound:   one load an FMA in the gather, from L1 or L2: one a cycle where taps are not aligned, two by columns.
#include <omp.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <span>

#include "kernels/cpu/amx_product.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/flat_gather_loops.h"
#include "kernels/cpu/flat_plan.h"
#include "kernels/cpu/folded_taps.h"
#include "kernels/cpu/packed_entries.h"
#include "kernels/cpu/pixel_product.h"
#include "kernels/cpu/weights_copy.h"

namespace lcnn::cpu {
namespace {

// Of the S that a gather block's lookups meet at a time: most of a core's L1.
constexpr std::int64_t kGatherBytes = 32 * 1024;
// Lookups of a channel that pay for keeping its sums in memory meanwhile.
constexpr std::int64_t kLeastLookups = 16;
// Of X that every thread may read in place of waiting for the others once.
constexpr std::int64_t kReadByAll = 256 * 1024;
// Lookups of a channel with one column of the kernel that pay for moving its sums to the next, and how much longer rows may be for it.
constexpr std::int64_t kLeastOfColumn = 6;
constexpr double kMostPitch = 1.25;
// Of P that is not zero, so that channels in fours have enough in common.
constexpr double kDenseLookups = 0.15;

// X and y stored as T, float or Bf16; tiles, S and sums are float.
template <typename T>
class FlatGather final : public PreparedConvolution {
 public:
  FlatGather(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout, const Execution& execution)
      : folded_(is_dense(problem, weights.lookups) ? FoldedTaps{} : taps_to_fold(problem, weights.lookups, block_shape(4).lanes)),
        plan_(problem, omp_get_max_threads(), gathering_of(problem, weights.lookups, folded_), folded_),
        weights_(weights, *execution.allocator),
        dictionary_blocks_(packed_dictionary(weights.dictionary, *execution.allocator)) {
    if (multiplies_by_amx()) prepare_amx(weights.dictionary, *execution.allocator);
    const std::int64_t slack = plan_.layout.slack() + plan_.layout.plane() + kBeyond;  // taps of blocks that end beyond the last plane
    x_elements_ = plan_.copies_x ? plane_pitch(conv_.in_channels * plan_.x_plane + slack) : 0;
    std::int64_t all_sums = dictionary_.out_channels;
    for (std::int64_t strip = 0; strip < plan_.strips; ++strip) all_sums = std::max(all_sums, partial_sums(strip) * dictionary_.out_channels);
    s_elements_ = plane_pitch((moves_s() ? dictionary_.out_channels : all_sums) * plan_.s_plane + slack);
    scratch_elements_ = x_elements_ + s_elements_ + plane_pitch(moves_s() ? all_sums * plan_.run_plane + kBeyond : 0);
    const std::int64_t tiles = plan_.strip_each ? threads_ : 1;
    tiles_ = Buffer(*execution.allocator, tiles * scratch_elements_ * 4, MemoryKind::workspace);
    std::fill_n(tiles_.as<float>(), tiles * scratch_elements_, 0.0f);
    if (plan_.gathering == Gathering::quads) prepare_quads(weights.lookups, execution);
    else prepare_lookups(weights.lookups, execution);
    if (plan_.gathering == Gathering::filters) filter_blocks_ = packed_filters(problem, weights, *execution.allocator);
    sums_ = Buffer(*execution.allocator, parts_ > 1 ? threads_ * conv_.out_channels * kMostGathered * 4 : 0, MemoryKind::workspace);
  }

  void run(const void* x, void* y, void*) override {
    const auto* in = static_cast<const T*>(x);
    auto* out = static_cast<T*>(y);
    const std::int64_t units = conv_.batch * plan_.strips;
    if (plan_.strip_each) {
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
      if (plan_.copies_x) {
        copy_input(in, unit, part, parts, tile_of(0));
#pragma omp barrier
      }
      form_input_dictionary(in, unit, part, parts, tile_of(0));
      if (moves_s() || partial_sums(unit) > 1) {
        if (!forms_whole_entries(parts)) {
#pragma omp barrier
        }
        add_partial_sums(unit, part, parts, tile_of(0));
        place_input_dictionary(unit, part, parts, tile_of(0));
      }
#pragma omp barrier
      gather(unit, part, parts, tile_of(0), out);
      if (unit + 1 < units) {
#pragma omp barrier
      }
    }
  }

  std::string choice() const override {
    const std::string strips = "strips of " + std::to_string(plan_.strip_rows) + " rows";
    return strips + (folded_.taps.empty() ? "" : ", " + std::to_string(folded_.taps.size()) + " taps as filters") + (amx_.empty() ? "" : ", S by AMX");
  }

 private:
  static bool is_dense(const LookupProblem& problem, const LookupTable& table) {
    return static_cast<double>(table.lookups()) > kDenseLookups * static_cast<double>(table.rows() * problem.dictionary_size_per_group());
  }
  static Gathering gathering_of(const LookupProblem& problem, const LookupTable& table, const FoldedTaps& folded) {
    if (is_dense(problem, table)) return Gathering::quads;
    if (!folded.taps.empty()) return Gathering::filters;
    const Conv2dProblem& conv = problem.conv;
    const bool one_column = problem.granularity == Granularity::filter || conv.kernel[1] == 1;
    if (one_column || conv.dilation[1] != 1 || conv.stride != Pair{1, 1}) return Gathering::channels;
    const BlockShape shape = block_shape(4);
    const std::int64_t pitch = FlatLayout(conv, 1, shape.lanes).pitch();
    const bool many = table.lookups() >= kLeastOfColumn * conv.kernel[1] * conv.out_channels;
    const bool short_rows = static_cast<double>(pitch) <= kMostPitch * static_cast<double>(FlatLayout(conv, 1).pitch());
    return many && short_rows && pitch <= shape.gather_vectors * shape.lanes ? Gathering::columns : Gathering::channels;
  }
  float* tile_of(int thread) const { return tiles_.as<float>() + thread * scratch_elements_; }
  float* s_of(float* tile) const { return tile + x_elements_; }
  float* run_of(float* tile) const { return tile + x_elements_ + s_elements_; }  // S as it is formed, without padding

  // How many parts the dictionary is cut into, so that what a gather block's lookups meet of one part stays in the L1.
  std::int64_t parts_for(const LookupTable& table) const {
    if (plan_.gathering == Gathering::filters) return 1;
    const std::int64_t rows_below = plan_.of_filters ? 0 : (lookup_.kernel[0] - 1) * lookup_.dilation[0] / lookup_.stride[0];
    const std::int64_t phases = plan_.of_filters ? 1 : plan_.layout.row_phases() * plan_.layout.column_phases();
    const std::int64_t met = std::min(plan_.shape.gather_vectors * plan_.shape.lanes + rows_below * plan_.layout.pitch(), plan_.layout.plane() / phases) * phases;
    const std::int64_t wanted = (dictionary_.out_channels * met * 4 + kGatherBytes - 1) / kGatherBytes;
    const std::int64_t least = columns_ == 1 ? kLeastLookups : kLeastOfColumn * columns_;
    return std::clamp<std::int64_t>(table.lookups() / conv_.out_channels / least, 1, wanted);
  }

  // S by the matrix unit, its work on a strip divided between as many threads as share one. It leaves S in its places, a vector of a plane a tile, but where so
  // few values are divided that threads add up sums: contiguous, these are fewer tiles.
  void prepare_amx(std::span<const float> dictionary, Allocator& allocator) {
    const std::int64_t per_group = dictionary_.out_channels_per_group(), size = per_group * inner();
    for (std::int64_t group = 0; group < conv_.groups; ++group) amx_.emplace_back(dictionary.subspan(group * size, size), per_group, inner(), threads_, allocator);
    const auto division_of = [&](const StripPlan& plan) { return amx_.front().division_of(amx_tiles(plan), plan_.strip_each ? 1 : threads_); };
    const bool adds_up = std::ranges::any_of(plan_.strip_plans, [&](const StripPlan& plan) { return division_of(plan).sums > 1; });
    amx_places_ = plan_.places_s && plan_.strip_plans.front().rows.empty() && !adds_up;
    std::ranges::transform(plan_.strip_plans, std::back_inserter(amx_divisions_), division_of);
  }

  // Lookups by slice of channels, part of the dictionary, channel and column; without columns, channels with fewest lookups of a
  // part first.
  void prepare_lookups(const LookupTable& table, const Execution& execution) {
    parts_ = parts_for(table);
    lookups_ = Buffer(*execution.allocator, std::max<std::int64_t>(table.lookups(), 1) * static_cast<std::int64_t>(sizeof(FlatLookup)), MemoryKind::prepared);
    channels_ = Buffer(*execution.allocator, parts_ * conv_.out_channels * columns_ * static_cast<std::int64_t>(sizeof(FlatChannel)), MemoryKind::prepared);
    FlatLookup* lookup = lookups_.as<FlatLookup>();
    FlatChannel* channel = channels_.as<FlatChannel>();
    for (std::int64_t slice = 0; slice < slices_; ++slice) {
      for (std::int64_t part = 0; part < parts_; ++part) {
        FlatChannel* const first = channel;
        for (std::int64_t k = slice_start(slice); k < slice_start(slice + 1); ++k) {
          for (int column = columns_; column-- > 0;) {
            const auto at = static_cast<std::int32_t>(lookup - lookups_.as<FlatLookup>());
            lookup = append_lookups(table, k, part, column, lookup);
            *channel++ = {static_cast<std::int32_t>(k), at, static_cast<std::int32_t>(lookup - lookups_.as<FlatLookup>()), weights_.bias(k)};
          }
        }
        if (plan_.gathering == Gathering::channels) std::stable_sort(first, channel, [](const FlatChannel& a, const FlatChannel& b) { return a.last - a.first < b.last - b.first; });
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
            coefficients[k % 4] += table.coefficients[i];  // taps of narrow layers may share an element
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

  // What each (channel, tap) meets, from an element's own place in the input.
  std::vector<std::int64_t> inner_offsets(const std::vector<std::int64_t>& taps) const {
    std::vector<std::int64_t> offsets;
    for (std::int64_t c = 0; c < conv_.in_channels_per_group(); ++c) {
      for (const std::int64_t tap : taps) offsets.push_back(c * in_plane() + tap);
    }
    return offsets;
  }
  std::int64_t in_plane() const { return plan_.copies_x ? plan_.x_plane : conv_.height * conv_.width; }
  PackedEntries packed_dictionary(const std::vector<float>& dictionary, Allocator& allocator) const {
    std::vector<std::int64_t> taps;
    for (std::int64_t tap = 0; tap < dictionary_.taps(); ++tap) taps.push_back(plan_.tap_offset(dictionary_, tap));
    return {dictionary, plan_.s_phases > 0 && !multiplies_by_amx() ? dictionary_.out_channels : 0, conv_.groups, plan_.block_size, inner_offsets(taps), allocator};
  }
  PackedEntries packed_filters(const LookupProblem& problem, const LookupWeights& weights, Allocator& allocator) const {
    std::vector<std::int64_t> taps;
    for (const std::int64_t tap : folded_.taps) taps.push_back(plan_.tap_offset(conv_, tap));
    return {folded_filters(folded_, problem, weights), conv_.out_channels, conv_.groups, plan_.filter_block_size, inner_offsets(taps), allocator};
  }

  // Those of channel k whose entries belong to the part, of one column where these are apart.
  FlatLookup* append_lookups(const LookupTable& table, std::int64_t k, std::int64_t part, int column, FlatLookup* lookup) const {
    const std::int64_t first = share(dictionary_.out_channels, part, parts_), last = share(dictionary_.out_channels, part + 1, parts_);
    for (std::int64_t row = k * lookup_.taps() + column; row < (k + 1) * lookup_.taps(); row += columns_) {
      if (folded_.has(row % lookup_.taps())) continue;
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        if (table.indices[i] < first || table.indices[i] >= last) continue;
        *lookup++ = {lookup_offset(table.indices[i], row) - column, table.coefficients[i]};
      }
    }
    return lookup;
  }
  std::int32_t lookup_offset(std::int64_t entry, std::int64_t row) const {
    return static_cast<std::int32_t>(entry * plan_.s_plane + plan_.tap_offset(lookup_, row % lookup_.taps()));
  }
  // Slices of output channels, which threads take that share a strip.
  std::int64_t slice_start(std::int64_t slice) const { return conv_.out_channels * slice / slices_; }
  std::int64_t inner() const { return dictionary_.in_channels_per_group() * dictionary_.taps(); }

  // How far ahead rows are asked for: about a page of a stream, a channel where strides skip some.
  std::int64_t ahead() const { return conv_.stride[0] == 1 ? std::max<std::int64_t>(1024 / conv_.width, 1) : conv_.height; }

  const T* input_under(const T* x, std::int64_t unit) const {
    return x + unit / plan_.strips * conv_.in_channels * conv_.height * conv_.width + plan_.strip_plans[unit % plan_.strips].under.first * conv_.width;
  }

  // The unit's input, a share of its channels, where it is not read from its own place.
  void copy_input(const T* x, std::int64_t unit, int part, int parts, float* tile) const {
    if (!plan_.copies_x) return;
    const StripPlan& plan = plan_.strip_plans[unit % plan_.strips];
    const RowPlace together{0, 0};
    for (std::int64_t c = share(conv_.in_channels, part, parts); c < share(conv_.in_channels, part + 1, parts); ++c) {
      const T *from = input_under(x, unit) + c * conv_.height * conv_.width, *next = from + ahead() * conv_.width;
      if (plan_.pads_x) place(loops_, plan.rows, from, next, tile + c * plan_.x_plane);
      else loops_.place_rows(&together, 1, (plan.under.last - plan.under.first) * conv_.width, 1, from, next, tile + c * plan_.x_plane);
    }
  }
  template <typename From>
  void place(const FlatLoops<From>& loops, const std::vector<RowPlaces>& phases, const From* from, const From* next, float* plane) const {
    for (const RowPlaces& phase : phases) {
      loops.place_rows(phase.rows.data(), static_cast<std::int64_t>(phase.rows.size()), phase.count, conv_.stride[1], from, next, plane);
      next = nullptr;  // column phases share their lines
    }
  }

  std::int64_t entry_blocks() const { return dictionary_blocks_.blocks(); }
  // Whether a thread's share of S is whole entries, which it can place without waiting for others but for which it reads all of X;
  // else some positions.
  bool forms_whole_entries(int parts) const {
    if (!amx_.empty()) return false;
    const bool even = entry_blocks() % parts == 0 || entry_blocks() >= 4 * parts;
    return parts == 1 || (even && conv_.in_channels * plan_.layout.rows() * conv_.width * 4 <= kReadByAll);
  }

  // S of the unit, a share of its blocks: all entries of some positions after those of others, so that X stays in the L1.
  void form_input_dictionary(const T* x, std::int64_t unit, int part, int parts, float* tile) const {
    if (plan_.one_position) {
      form_one_position(x, unit, part, parts, s_of(tile));
      return;
    }
    if (!amx_.empty()) form_by_amx(input_under(x, unit), unit, part, parts, tile);
    else if (plan_.copies_x) form_share(tile_loops_, static_cast<const float*>(tile), unit, part, parts, tile);
    else form_share(loops_, input_under(x, unit), unit, part, parts, tile);
  }
  template <typename From>
  void form_share(const FlatLoops<From>& loops, const From* in, std::int64_t unit, int part, int parts, float* tile) const {
    const std::int64_t units = plan_.strip_plans[unit % plan_.strips].form_units;
    if (forms_whole_entries(parts)) {
      const std::int64_t first = share(entry_blocks(), part, parts), last = share(entry_blocks(), part + 1, parts);
      for (std::int64_t position = 0; position < units; ++position) {
        for (std::int64_t block = first; block < last; ++block) form(loops, in, unit, position, block, block == first, tile);
      }
      return;
    }
    for (std::int64_t at = share(units * entry_blocks(), part, parts); at < share(units * entry_blocks(), part + 1, parts); ++at) {
      form(loops, in, unit, at / entry_blocks(), at % entry_blocks(), dictionary_blocks_.begins_group(at % entry_blocks()), tile);
    }
  }

  // Whether X, as it lies, is long enough for the matrix unit.
  bool multiplies_by_amx() const {
    const auto fits = [](const StripPlan& plan) { return plan.formed >= AmxProduct<T>::kPositions; };
    return has_amx_bf16() && plan_.shape.lanes == AmxProduct<T>::kPositions && !plan_.copies_x && !plan_.one_position && dictionary_.taps() == 1 &&
           dictionary_.stride == Pair{1, 1} && std::ranges::all_of(plan_.strip_plans, fits);
  }
  std::int64_t amx_tiles(const StripPlan& plan) const { return amx_places_ ? std::ssize(plan.plane) : divided_up(plan.formed, AmxProduct<T>::kPositions); }
  std::int64_t partial_sums(std::int64_t unit) const { return amx_.empty() ? 1 : amx_divisions_[unit % plan_.strips].sums; }
  // Whether S is formed contiguous and then moved between its zeros.
  bool moves_s() const { return plan_.places_s && !amx_places_; }
  // S as it is formed, and elements from entry to entry of it. Partial sums follow each other.
  float* formed_of(float* tile) const { return moves_s() ? run_of(tile) : s_of(tile); }
  std::int64_t formed_plane() const { return moves_s() ? plan_.run_plane : plan_.s_plane; }

  void form_by_amx(const T* in, std::int64_t unit, int part, int parts, float* tile) const {
    const StripPlan& plan = plan_.strip_plans[unit % plan_.strips];
    const std::int64_t per_group = dictionary_.out_channels_per_group(), tiles = amx_tiles(plan);
    const auto [shares, sums] = amx_divisions_[unit % plan_.strips];
    for (std::int64_t own = part; own < shares * sums; own += parts) {
      const typename AmxProduct<T>::Share its{share(tiles, own / sums, shares), share(tiles, own / sums + 1, shares), own % sums, sums};
      float* to = formed_of(tile) + own % sums * dictionary_.out_channels * formed_plane();
      for (std::int64_t group = 0; group < conv_.groups; ++group) {
        amx_[group].form(its, in + group * inner() * in_plane(), in_plane(), plan.formed, amx_places_ ? plan.plane.data() : nullptr,
                         to + group * per_group * formed_plane(), formed_plane(), omp_get_thread_num());
      }
    }
  }
  // Into the first of them: those of a share of the entries.
  void add_partial_sums(std::int64_t unit, int part, int parts, float* tile) const {
    const std::int64_t first = share(dictionary_.out_channels, part, parts), last = share(dictionary_.out_channels, part + 1, parts);
    float* sums = formed_of(tile);
    for (std::int64_t sum = 1; sum < partial_sums(unit); ++sum) {
      const float* more = sums + sum * dictionary_.out_channels * formed_plane();
      for (std::int64_t i = first * formed_plane(); i < last * formed_plane(); ++i) sums[i] += more[i];
    }
  }

  // One block of entries at one unit of positions.
  template <typename From>
  void form(const FlatLoops<From>& loops, const From* in, std::int64_t unit, std::int64_t position, std::int64_t block, bool first, float* tile) const {
    const StripPlan& plan = plan_.strip_plans[unit % plan_.strips];
    const std::int64_t end = position + 1 == plan.form_units ? std::ssize(plan.form) : position + 1;
    for (std::int64_t i = position; i < end; ++i) {
      loops.form_block(dictionary_blocks_.block(block), plan.form[i], first && !plan_.copies_x,
                       in + dictionary_blocks_.group_of(block) * conv_.in_channels_per_group() * in_plane(), dictionary_blocks_.entries_of(block),
                       formed_of(tile) + dictionary_blocks_.first_entry(block) * formed_plane(), formed_plane());
    }
  }
  // A matrix by a vector, D read once as it is stored: a share of the entries.
  void form_one_position(const T* x, std::int64_t unit, int part, int parts, float* s) const {
    const std::int64_t per_group = dictionary_.out_channels_per_group();
    for (std::int64_t group = 0; group < conv_.groups; ++group) {
      const std::int64_t first = group * per_group + share(per_group, part, parts), last = group * per_group + share(per_group, part + 1, parts);
      std::fill(s + first, s + last, 0.0f);
      pixel_dot_products(last - first, std::int64_t{1}, inner(), weights_.dictionary() + first * inner(), inner(),
                         input_under(x, unit) + group * inner(), inner(), s + first);
    }
  }

  // S to its places between the padding's zeros: the entries that the thread formed itself, or a share of all.
  void place_input_dictionary(std::int64_t unit, int part, int parts, float* tile) const {
    if (!moves_s()) return;
    const StripPlan& plan = plan_.strip_plans[unit % plan_.strips];
    const auto bound = [&](int of) {
      return forms_whole_entries(parts) ? dictionary_blocks_.first_entry(share(entry_blocks(), of, parts)) : share(dictionary_.out_channels, of, parts);
    };
    for (std::int64_t e = bound(part); e < bound(part + 1); ++e) {
      const float* from = run_of(tile) + e * plan_.run_plane;
      float* plane = s_of(tile) + e * plan_.s_plane;
      if (plan.rows.empty()) place_vectors(plan.plane.data(), std::ssize(plan.plane), from, plane);
      else place<float>(tile_loops_, plan.rows, from, nullptr, plane);
    }
  }

  // A share of the unit's blocks of output pixels and slices of channels, each for one part of the dictionary after the other.
  void gather(std::int64_t unit, int part, int parts, float* tile, T* y) const {
    const StripPlan& plan = plan_.strip_plans[unit % plan_.strips];
    const std::int64_t out_w = conv_.out_width(), out_plane = conv_.out_height() * out_w;
    T* out = y + unit / plan_.strips * conv_.out_channels * out_plane + unit % plan_.strips * plan_.strip_rows * out_w;
    if (plan_.gathering == Gathering::quads) {
      gather_in_quads(plan, part, parts, s_of(tile), out);
      return;
    }
    if (plan_.gathering == Gathering::filters) {
      gather_with_filters(plan, part, parts, tile, out);
      return;
    }
    float* sums = sums_.as<float>() + omp_get_thread_num() * conv_.out_channels * kMostGathered;
    const std::int64_t all = static_cast<std::int64_t>(plan.gather.size()) * slices_, last = share(all, part + 1, parts);
    for (std::int64_t at = share(all, part, parts); at < last; ++at) {
      const std::int64_t block = at / slices_, slice = at % slices_, count = slice_start(slice + 1) - slice_start(slice);
      const FlatChannel* channels = channels_.as<FlatChannel>() + slice_start(slice) * parts_ * columns_;
      for (std::int64_t of = 0; of < parts_; ++of, channels += count * columns_) {
        loops_.gather_block({channels, count, columns_, lookups_.as<FlatLookup>()}, {of == 0, of == parts_ - 1, sums}, plan.gather[block],
                            plan.out.data() + plan.first_out[block], s_of(tile), out, out_plane);
      }
    }
  }

  void gather_in_quads(const StripPlan& plan, int part, int parts, const float* s, T* out) const {
    const std::int64_t all = static_cast<std::int64_t>(plan.gather.size()) * quads(), last = share(all, part + 1, parts);
    for (std::int64_t at = share(all, part, parts); at < last;) {
      const std::int64_t block = at / quads(), first = at % quads(), count = std::min(quads() - first, last - at);
      loops_.gather_quads(quads_.as<ChannelQuad>() + first, count, lookups_.as<QuadLookup>(), plan.gather[block],
                          plan.out.data() + plan.first_out[block], s, out, conv_.out_height() * conv_.out_width());
      at += count;
    }
  }

  void gather_with_filters(const StripPlan& plan, int part, int parts, float* tile, T* out) const {
    const std::int64_t blocks = filter_blocks_.blocks(), all = static_cast<std::int64_t>(plan.gather.size()) * blocks;
    for (std::int64_t at = share(all, part, parts); at < share(all, part + 1, parts); ++at) {
      const std::int64_t pixels = at / blocks, block = at % blocks;
      const FilterChannels channels{channels_.as<FlatChannel>() + filter_blocks_.first_entry(block), filter_blocks_.entries_of(block), lookups_.as<FlatLookup>()};
      loops_.filter_block(filter_blocks_.block(block), channels, plan.gather[pixels], plan.out.data() + plan.first_out[pixels],
                          tile + filter_blocks_.group_of(block) * conv_.in_channels_per_group() * plan_.x_plane, s_of(tile), out,
                          conv_.out_height() * conv_.out_width());
    }
  }

  const FoldedTaps folded_;
  const FlatPlan plan_;
  const Conv2dProblem conv_ = plan_.problem.conv, dictionary_ = plan_.problem.dictionary_stage(), lookup_ = plan_.problem.lookup_stage();
  const int threads_ = omp_get_max_threads();  // at preparation: each has its own scratch
  const FlatLoops<T> loops_ = flat_loops<T>();
  const FlatLoops<float> tile_loops_ = flat_loops<float>();
  StoredWeights<T> weights_;
  std::int64_t slices_ = plan_.strip_each ? 1 : std::min<std::int64_t>(threads_, conv_.out_channels), parts_ = 1;
  std::int64_t x_elements_, s_elements_, scratch_elements_;
  const int columns_ = plan_.gathering == Gathering::columns ? static_cast<int>(conv_.kernel[1]) : 1;  // gathered apart
  Buffer tiles_;          // per thread, or of all that share one: X tile where it is copied, S tile, S without padding
  Buffer sums_;           // per thread: [out_channels][pixels of a gather block], where the dictionary is cut into parts
  Buffer channels_;       // [slice of channels][part of the dictionary][channel of the slice][column]
  Buffer quads_;          // in place of channels where P is dense
  Buffer lookups_;        // of these
  PackedEntries dictionary_blocks_, filter_blocks_;
  std::vector<AmxProduct<T>> amx_;  // of each group, where it forms S
  std::vector<typename AmxProduct<T>::Division> amx_divisions_;  // of each strip
  bool amx_places_ = false;
};

}  // namespace

const Variant flat_gather{.name = "flat_gather", .device = Device::cpu, .why_unsupported = why_not_fp32_or_bf16_nchw, .prepare = prepare_as_stored<FlatGather>};

}  // namespace lcnn::cpu
