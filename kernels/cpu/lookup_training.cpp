// The lookup stage of training: Y = conv(S, P) + b and the gradients of S, the coefficients and the bias.
//
// Idea:    what the lookups read lies flat in a tile (flat_layout.h): rows `pitch` apart with zeros between them, sorted by their
//          remainders modulo the stride, so that a tap is a constant offset. Y, and dS in the same way from a tile of dY, is then
//          one list of (offset, coefficient) for each output, with sums in registers; dC is a dot product for each lookup.
// Threads: images, strips of rows whose tile stays in the L2, and shares of the outputs where these are too few.
// Bound:   one load a multiply-add, from the L1 or L2.
#include <omp.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu/flat_layout.h"
#include "kernels/cpu/lookup_loops.h"
#include "kernels/cpu/training.h"

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kTileBytes = 512 * 1024;  // half of a core's L2
constexpr std::int64_t kRunPixels = 256;         // of a run of rows: what is looked up under it should stay in the L1
constexpr std::int64_t kUnitsOfThread = 4;       // so that threads end together

std::int64_t divided_up(std::int64_t count, std::int64_t by) { return (count + by - 1) / by; }

struct Range {
  std::int64_t first, last;
};

// Part `part` of `parts` about equal ones of [0, count).
Range share(std::int64_t count, std::int64_t part, std::int64_t parts) { return {count * part / parts, count * (part + 1) / parts}; }

// Elements from plane to plane of a tile: a run may be read beyond each, and an odd number of cache lines keeps planes apart in the cache.
std::int64_t plane_pitch(std::int64_t elements) { return ((elements + kBeyondRun + 15) / 16 | 1) * 16; }

// `rows` rows cut into strips, as few as there may be with tile_elements(rows of a strip) in a tile.
template <typename T, typename TileElements>
std::int64_t strips_of(std::int64_t rows, const TileElements& tile_elements) {
  std::int64_t strips = 1;
  while (strips < rows && tile_elements(divided_up(rows, strips)) * static_cast<std::int64_t>(sizeof(T)) > kTileBytes) ++strips;
  return strips;
}

// A thread's work: some outputs of a strip of an image.
struct Units {
  std::int64_t batch, strips, outputs, shares;

  Units(std::int64_t images, std::int64_t strip_count, std::int64_t output_count)
      : batch(images),
        strips(strip_count),
        outputs(output_count),
        shares(std::clamp<std::int64_t>(kUnitsOfThread * omp_get_max_threads() / (batch * strips), 1, outputs)) {}

  std::int64_t count() const { return batch * strips * shares; }
  std::int64_t image(std::int64_t unit) const { return unit / shares / strips; }
  std::int64_t strip(std::int64_t unit) const { return unit / shares % strips; }
  Range outputs_of(std::int64_t unit) const { return share(outputs, unit % shares, shares); }
};

// Calls function(rows) for runs of about kRunPixels of the rows, `pitch` apart.
template <typename Function>
void for_each_run(Range rows, std::int64_t pitch, const Function& function) {
  const std::int64_t count = rows.last - rows.first, runs = divided_up(count, std::max<std::int64_t>(kRunPixels / pitch, 1));
  for (std::int64_t run = 0; run < runs; ++run) {
    const auto [first, last] = share(count, run, runs);
    function(Range{rows.first + first, rows.first + last});
  }
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
  Range rows(std::int64_t strip) const { return share(p_.out_height(), strip, strips_); }
  // Behind the last plane: the taps of what is computed between its last pixels and the end of a vector.
  std::int64_t elements() const { return p_.in_channels * plane_ + layout_.plane() + layout_.slack() + kBeyondRun; }

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

  const FlatLayout& layout() const { return layout_; }
  std::int64_t strips() const { return strips_; }
  std::int64_t pitch() const { return layout_.pitch(); }
  Range rows(std::int64_t strip) const {
    const auto [first, last] = share(rows_, strip, strips_);
    return {first_ + first, first_ + last};
  }
  std::int64_t elements() const { return p_.out_channels * plane_ + kBeyondRun; }

  // Phases of S: pairs of remainders modulo the stride.
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

}  // namespace

template <typename T>
void lookup_output(const LookupProblem& problem, const T* s, const LookupArrays<T>& lookups, const T* bias, T* y) {
  const Conv2dProblem p = problem.lookup_stage();
  const std::int64_t out_h = p.out_height(), out_w = p.out_width(), image = p.in_channels * p.height * p.width;
  const InputDictionaryTile<T> tiles(p);
  const Units units(p.batch, tiles.strips(), p.out_channels);
  const std::vector<RunLookup<T>> runs = tiles.lookups(lookups, lookups.coefficients);
  const LookupLoops<T> loops = lookup_loops<T>();
#pragma omp parallel
  {
    std::vector<T> tile(tiles.elements()), sums(kRunPixels + tiles.pitch() + kBeyondRun);
#pragma omp for schedule(dynamic)
    for (std::int64_t unit = 0; unit < units.count(); ++unit) {
      const std::int64_t n = units.image(unit), strip = units.strip(unit);
      const Range channels = units.outputs_of(unit), strip_rows = tiles.rows(strip);
      tiles.load(s + n * image, strip, tile.data());
      for_each_run(strip_rows, tiles.pitch(), [&](Range rows) {
        const T* from = tile.data() + (rows.first - strip_rows.first) * tiles.pitch();
        const std::int64_t length = (rows.last - rows.first - 1) * tiles.pitch() + out_w;
        for (std::int64_t k = channels.first; k < channels.last; ++k) {
          const std::int32_t first = lookups.row_offsets[k * p.taps()], last = lookups.row_offsets[(k + 1) * p.taps()];
          loops.gather_run(runs.data() + first, last - first, bias == nullptr ? T(0) : bias[k], from, length, sums.data());
          T* to = y + (n * p.out_channels + k) * out_h * out_w;
          for (std::int64_t row = rows.first; row < rows.last; ++row) {
            std::copy_n(sums.data() + (row - rows.first) * tiles.pitch(), out_w, to + row * out_w);
          }
        }
      });
    }
  }
}

template <typename T>
void input_dictionary_gradient(const LookupProblem& problem, const T* grad_y, const LookupArrays<T>& lookups, T* grad_s) {
  const Conv2dProblem p = problem.lookup_stage();
  const OutputGradientTile<T> tiles(p);
  const Units units(p.batch, tiles.strips(), p.in_channels);
  const auto runs = tiles.lookups(lookups);
  const LookupLoops<T> loops = lookup_loops<T>();
#pragma omp parallel
  {
    std::vector<T> tile(tiles.elements()), sums(kRunPixels + tiles.pitch() + kBeyondRun);
#pragma omp for schedule(dynamic)
    for (std::int64_t unit = 0; unit < units.count(); ++unit) {
      const std::int64_t n = units.image(unit), strip = units.strip(unit);
      const Range entries = units.outputs_of(unit), strip_rows = tiles.rows(strip);
      tiles.load(grad_y + n * p.out_channels * p.out_height() * p.out_width(), strip, tile.data());
      for_each_run(strip_rows, tiles.pitch(), [&](Range rows) {
        const T* from = tile.data() + (rows.first - strip_rows.first) * tiles.pitch();
        const std::int64_t length = (rows.last - rows.first) * tiles.pitch();
        for (std::int64_t output = entries.first * tiles.phases(); output < entries.last * tiles.phases(); ++output) {
          const std::int64_t first_lookup = runs.offsets[output], count_lookups = runs.offsets[output + 1] - first_lookup;
          loops.gather_run(runs.lookups.data() + first_lookup, count_lookups, T(0), from, length, sums.data());
          const std::int64_t e = output / tiles.phases(), row_phase = output % tiles.phases() / p.stride[1];
          const auto [first, count, left] = tiles.layout().columns_of(output % p.stride[1]);
          for (std::int64_t row = rows.first; row < rows.last; ++row) {
            const std::int64_t h = row * p.stride[0] - p.padding[0] + row_phase;
            if (h < 0 || h >= p.height) continue;
            const T* row_sums = sums.data() + (row - rows.first) * tiles.pitch() + left;
            T* to = grad_s + ((n * p.in_channels + e) * p.height + h) * p.width + first;
            if (p.stride[1] == 1) std::copy_n(row_sums, count, to);
            else for (std::int64_t i = 0; i < count; ++i) to[i * p.stride[1]] = row_sums[i];
          }
        }
      });
    }
  }
}

template <typename T>
void coefficient_gradient(const LookupProblem& problem, const T* grad_y, const T* s, const LookupArrays<T>& lookups,
                          T* grad_coefficients) {
  const Conv2dProblem p = problem.lookup_stage();
  const std::int64_t out_h = p.out_height(), out_w = p.out_width(), image = p.in_channels * p.height * p.width;
  const InputDictionaryTile<T> tiles(p);
  const Units units(p.batch, tiles.strips(), p.out_channels);
  const std::vector<RunLookup<T>> runs = tiles.lookups(lookups, nullptr);
  const LookupLoops<T> loops = lookup_loops<T>();
  std::vector<double> partial;  // of each thread, added up in order
  int threads = 1;
#pragma omp parallel
  {
#pragma omp single
    {
      threads = omp_get_num_threads();
      partial.assign(threads * lookups.lookups, 0.0);
    }
    std::vector<T> tile(tiles.elements()), run(tiles.most_rows() * tiles.pitch() + kBeyondRun);
    double* sums = partial.data() + omp_get_thread_num() * lookups.lookups;
#pragma omp for schedule(static)
    for (std::int64_t unit = 0; unit < units.count(); ++unit) {
      const std::int64_t n = units.image(unit), strip = units.strip(unit);
      const auto [first_row, last_row] = tiles.rows(strip);
      const Range channels = units.outputs_of(unit);
      tiles.load(s + n * image, strip, tile.data());
      std::fill(run.begin(), run.end(), T(0));
      for (std::int64_t k = channels.first; k < channels.last; ++k) {
        const T* from = grad_y + (n * p.out_channels + k) * out_h * out_w;
        for (std::int64_t row = first_row; row < last_row; ++row) {
          std::copy_n(from + row * out_w, out_w, run.data() + (row - first_row) * tiles.pitch());
        }
        const std::int32_t first = lookups.row_offsets[k * p.taps()], last = lookups.row_offsets[(k + 1) * p.taps()];
        loops.dot_run(runs.data() + first, last - first, run.data(), tile.data(), (last_row - first_row - 1) * tiles.pitch() + out_w, sums + first);
      }
    }
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < lookups.lookups; ++i) {
      double sum = 0.0;
      for (int thread = 0; thread < threads; ++thread) sum += partial[thread * lookups.lookups + i];
      grad_coefficients[i] = static_cast<T>(sum);
    }
  }
}

template <typename T>
void bias_gradient(const LookupProblem& problem, const T* grad_y, T* grad_bias) {
  const Conv2dProblem& p = problem.conv;
  const std::int64_t plane = p.out_height() * p.out_width();
#pragma omp parallel for schedule(static)
  for (std::int64_t k = 0; k < p.out_channels; ++k) {
    double sum = 0.0;
    for (std::int64_t n = 0; n < p.batch; ++n) {
      const T* from = grad_y + (n * p.out_channels + k) * plane;
      T image = 0;
#pragma omp simd reduction(+ : image)
      for (std::int64_t q = 0; q < plane; ++q) image += from[q];
      sum += image;
    }
    grad_bias[k] = static_cast<T>(sum);
  }
}

#define LCNN_INSTANTIATE(T)                                                                                          \
  template void lookup_output(const LookupProblem&, const T*, const LookupArrays<T>&, const T*, T*);                 \
  template void input_dictionary_gradient(const LookupProblem&, const T*, const LookupArrays<T>&, T*);               \
  template void coefficient_gradient(const LookupProblem&, const T*, const T*, const LookupArrays<T>&, T*);          \
  template void bias_gradient(const LookupProblem&, const T*, T*);
LCNN_INSTANTIATE(float)
LCNN_INSTANTIATE(double)
#undef LCNN_INSTANTIATE

}  // namespace lcnn::cpu
