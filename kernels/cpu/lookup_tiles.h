// What training's lookup stage reads, flat in tiles: S under a strip of output rows, dY above a strip of S's.
//
// T is float or double. Tiles begin as zeros; each load overwrites all that the one before it wrote.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/flat_layout.h"
#include "kernels/cpu/lookup_loops.h"
#include "kernels/training.h"

namespace lcnn::cpu {

inline constexpr std::int64_t kTileBytes = 512 * 1024;  // half of a core's L2

struct Range {
  std::int64_t first, last;
};

// Part `part` of `parts` about equal ones of [0, count).
inline Range range_of(std::int64_t count, std::int64_t part, std::int64_t parts) { return {share(count, part, parts), share(count, part + 1, parts)}; }

// `rows` rows cut into strips, as few as there may be with tile_elements(rows of a strip) in a tile.
template <typename T, typename TileElements>
std::int64_t strips_of(std::int64_t rows, const TileElements& tile_elements) {
  std::int64_t strips = 1;
  while (strips < rows && tile_elements(divided_up(rows, strips)) * static_cast<std::int64_t>(sizeof(T)) > kTileBytes) ++strips;
  return strips;
}

// Strips of output rows and what lies under them of S, in a tile of one plane for each dictionary entry.
template <typename T>
class InputDictionaryTile {
 public:
  explicit InputDictionaryTile(const Conv2dProblem& stage)
      : p_(stage),
        strips_(strips_of<T>(stage.out_height(), [&](std::int64_t rows) { return stage.in_channels * FlatLayout(stage, rows).plane(); })),
        layout_(stage, divided_up(stage.out_height(), strips_)),
        plane_(plane_pitch(layout_.plane())) {}

  std::int64_t strips() const { return strips_; }
  std::int64_t pitch() const { return layout_.pitch(); }
  std::int64_t most_rows() const { return divided_up(p_.out_height(), strips_); }
  Range rows(std::int64_t strip) const { return range_of(p_.out_height(), strip, strips_); }
  // Behind the last plane: the taps of what is computed between its last pixels and the end of a vector.
  std::int64_t elements() const { return p_.in_channels * plane_ + layout_.plane() + layout_.slack() + kBeyond; }

  // All lookups, in their order.
  std::vector<RunLookup<T>> lookups(const LookupArrays<T>& table, const T* coefficients) const {
    std::vector<RunLookup<T>> lookups(table.lookups);
    for (std::int64_t row = 0; row < p_.out_channels * p_.taps(); ++row) {
      const std::int64_t tap = row % p_.taps(), offset = layout_.tap_offset(tap / p_.kernel[1], tap % p_.kernel[1]);
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        lookups[i] = {static_cast<std::int32_t>(table.indices[i] * plane_ + offset), coefficients == nullptr ? T(0) : coefficients[i]};
      }
    }
    return lookups;
  }

  // S of one image under a strip; the tile's padding is zero already.
  void load(const T* s, std::int64_t strip, T* tile) const {
    const RowsUnder under = layout_.rows_under(rows(strip).first);
    const std::int64_t stride = p_.stride[1];
    for (std::int64_t e = 0; e < p_.in_channels; ++e) {
      for (std::int64_t down = 0; down < layout_.rows(); ++down) {
        const std::int64_t row_phase = down % p_.stride[0], h = under.top + down;
        if (row_phase >= layout_.row_phases()) continue;
        const bool exists = h >= under.first && h < under.last;
        for (std::int64_t phase = 0; phase < layout_.column_phases(); ++phase) {
          const auto [first, count, left] = layout_.columns_of(phase);
          T* to = tile + e * plane_ + layout_.phase_start(row_phase, phase) + down / p_.stride[0] * layout_.pitch() + left;
          const T* from = s + (e * p_.height + h) * p_.width + first;
          if (!exists) std::fill_n(to, count, T(0));
          else if (stride == 1) std::copy_n(from, count, to);
          else for (std::int64_t i = 0; i < count; ++i) to[i] = from[i * stride];
        }
      }
    }
  }

 private:
  Conv2dProblem p_;
  std::int64_t strips_;
  FlatLayout layout_;
  std::int64_t plane_;
};

// Strips of rows of S, sorted by their phases, and what is computed from above them of dY, in a tile of one plane for each output
// channel. A row of a phase that lies `row` * stride + phase below the padded image's top meets output row `row` at kernel row 0.
template <typename T>
class OutputGradientTile {
 public:
  explicit OutputGradientTile(const Conv2dProblem& stage)
      : p_(stage),
        layout_(stage, 1),
        first_(stage.padding[0] / stage.stride[0]),
        rows_(divided_up(stage.height + stage.padding[0], stage.stride[0]) - first_),
        above_((stage.kernel[0] - 1) * stage.dilation[0] / stage.stride[0]),
        left_((stage.kernel[1] - 1) * stage.dilation[1] / stage.stride[1]),
        strips_(strips_of<T>(rows_, [&](std::int64_t rows) { return stage.out_channels * plane_of(rows); })),
        plane_(plane_pitch(plane_of(divided_up(rows_, strips_)))) {}

  std::int64_t strips() const { return strips_; }
  std::int64_t pitch() const { return layout_.pitch(); }
  Range rows(std::int64_t strip) const {
    const auto [first, last] = range_of(rows_, strip, strips_);
    return {first_ + first, first_ + last};
  }
  std::int64_t elements() const { return p_.out_channels * plane_ + kBeyond; }

  // Phases of S, pairs of remainders modulo the stride: dS is computed in dictionary_size * phases() outputs, of one phase each.
  std::int64_t phases() const { return p_.stride[0] * p_.stride[1]; }

  struct Lookups {
    std::vector<std::int64_t> offsets;  // [dictionary_size * phases + 1]
    std::vector<RunLookup<T>> lookups;
  };
  // By entry and phase which lookups read it, in the order of the rows.
  Lookups lookups(const LookupArrays<T>& table) const {
    Lookups by_phase{std::vector<std::int64_t>(p_.in_channels * phases() + 1), std::vector<RunLookup<T>>(table.lookups)};
    const auto for_each_lookup = [&](const auto& function) {
      for (std::int64_t row = 0; row < p_.out_channels * p_.taps(); ++row) {
        const std::int64_t k = row / p_.taps(), down = row % p_.taps() / p_.kernel[1] * p_.dilation[0], right = row % p_.kernel[1] * p_.dilation[1];
        const std::int64_t phase = down % p_.stride[0] * p_.stride[1] + right % p_.stride[1];
        const std::int64_t offset = k * plane_ + (above_ - down / p_.stride[0]) * pitch() + left_ - right / p_.stride[1];
        for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
          function(table.indices[i] * phases() + phase, RunLookup<T>{static_cast<std::int32_t>(offset), table.coefficients[i]});
        }
      }
    };
    for_each_lookup([&](std::int64_t output, const RunLookup<T>&) { ++by_phase.offsets[output + 1]; });
    for (std::int64_t output = 0; output < p_.in_channels * phases(); ++output) by_phase.offsets[output + 1] += by_phase.offsets[output];
    std::vector<std::int64_t> next(by_phase.offsets.begin(), by_phase.offsets.end() - 1);
    for_each_lookup([&](std::int64_t output, const RunLookup<T>& lookup) { by_phase.lookups[next[output]++] = lookup; });
    return by_phase;
  }

  // The sums of an output for some rows, `pitch` apart, to its phase of S's gradient of one image.
  void store(std::int64_t output, Range rows, const T* sums, T* grad_s) const {
    const std::int64_t stride = p_.stride[1], row_phase = output % phases() / stride;
    const auto [first, count, left] = layout_.columns_of(output % stride);
    for (std::int64_t row = rows.first; row < rows.last; ++row, sums += pitch()) {
      const std::int64_t h = row * p_.stride[0] - p_.padding[0] + row_phase;
      if (h < 0 || h >= p_.height) continue;
      T* to = grad_s + (output / phases() * p_.height + h) * p_.width + first;
      if (stride == 1) std::copy_n(sums + left, count, to);
      else for (std::int64_t i = 0; i < count; ++i) to[i * stride] = sums[left + i];
    }
  }

  // dY of one image for a strip; the tile is zero already where no pixels lie.
  void load(const T* grad_y, std::int64_t strip, T* tile) const {
    const auto [first, last] = rows(strip);
    const std::int64_t out_h = p_.out_height(), out_w = p_.out_width();
    for (std::int64_t k = 0; k < p_.out_channels; ++k) {
      T* to = tile + k * plane_ + left_;
      for (std::int64_t row = first - above_; row < last; ++row, to += pitch()) {
        if (row < 0 || row >= out_h) std::fill_n(to, out_w, T(0));
        else std::copy_n(grad_y + (k * out_h + row) * out_w, out_w, to);
      }
    }
  }

 private:
  std::int64_t plane_of(std::int64_t rows) const { return (rows + above_) * pitch() + left_; }

  Conv2dProblem p_;
  FlatLayout layout_;
  std::int64_t first_, rows_, above_, left_, strips_, plane_;
};

}  // namespace lcnn::cpu
