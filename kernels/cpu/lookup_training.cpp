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

#include "kernels/cpu/lookup_loops.h"
#include "kernels/cpu/lookup_one_position.h"
#include "kernels/cpu/lookup_tiles.h"
#include "kernels/cpu/training.h"

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kRunPixels = 256;    // of a run of rows: what is looked up under it should stay in the L1
constexpr std::int64_t kUnitsOfThread = 4;  // enough for threads to end together

// A thread's work: some outputs of a strip of an image.
struct Units {
  std::int64_t batch, strips, outputs, shares;

  // Outputs are shared only where threads would wait for others: each share loads the tile again.
  Units(std::int64_t images, std::int64_t strip_count, std::int64_t output_count) : batch(images), strips(strip_count), outputs(output_count) {
    const std::int64_t threads = omp_get_max_threads();
    for (shares = 1; shares < outputs && count() % threads != 0 && count() < kUnitsOfThread * threads;) ++shares;
  }

  std::int64_t count() const { return batch * strips * shares; }
  std::int64_t image(std::int64_t unit) const { return unit / shares / strips; }
  std::int64_t strip(std::int64_t unit) const { return unit / shares % strips; }
  Range outputs_of(std::int64_t unit) const { return range_of(outputs, unit % shares, shares); }
};

// Calls function(rows) for runs of about kRunPixels of the rows, `pitch` apart.
template <typename Function>
void for_each_run(Range rows, std::int64_t pitch, const Function& function) {
  const std::int64_t count = rows.last - rows.first, runs = divided_up(count, std::max<std::int64_t>(kRunPixels / pitch, 1));
  for (std::int64_t run = 0; run < runs; ++run) {
    function(Range{rows.first + share(count, run, runs), rows.first + share(count, run + 1, runs)});
  }
}

// Calls function(image, outputs, rows, tile at these rows, room for their sums) for every run of rows of every unit, whose tile is
// loaded from its image; images lie `image_elements` apart.
template <typename T, typename Tiles, typename Function>
void for_each_run_of_units(const Tiles& tiles, const Units& units, const T* images, std::int64_t image_elements, const Function& function) {
#pragma omp parallel
  {
    std::vector<T> tile(tiles.elements()), sums(kRunPixels + tiles.pitch() + kBeyond);
#pragma omp for schedule(dynamic)
    for (std::int64_t unit = 0; unit < units.count(); ++unit) {
      const std::int64_t n = units.image(unit), strip = units.strip(unit);
      const Range outputs = units.outputs_of(unit), strip_rows = tiles.rows(strip);
      tiles.load(images + n * image_elements, strip, tile.data());
      for_each_run(strip_rows, tiles.pitch(), [&](Range rows) {
        function(n, outputs, rows, tile.data() + (rows.first - strip_rows.first) * tiles.pitch(), sums.data());
      });
    }
  }
}

}  // namespace

template <typename T>
void lookup_output(const LookupProblem& problem, const T* s, const LookupArrays<T>& lookups, const T* bias, T* y) {
  const Conv2dProblem p = problem.lookup_stage();
  if (p.out_height() * p.out_width() == 1) return LookupsOfOnePosition<T>(p, lookups).output(s, bias, y);
  const std::int64_t out_h = p.out_height(), out_w = p.out_width(), image = p.in_channels * p.height * p.width;
  const InputDictionaryTile<T> tiles(p);
  const Units units(p.batch, tiles.strips(), p.out_channels);
  const std::vector<RunLookup<T>> runs = tiles.lookups(lookups, lookups.coefficients);
  const LookupLoops<T> loops = lookup_loops<T>();
  for_each_run_of_units(tiles, units, s, image, [&](std::int64_t n, Range channels, Range rows, const T* from, T* sums) {
    const std::int64_t length = (rows.last - rows.first - 1) * tiles.pitch() + out_w;
    for (std::int64_t k = channels.first; k < channels.last; ++k) {
      const std::int32_t first = lookups.row_offsets[k * p.taps()], last = lookups.row_offsets[(k + 1) * p.taps()];
      loops.gather_run(runs.data() + first, last - first, bias == nullptr ? T(0) : bias[k], from, length, sums);
      T* to = y + (n * p.out_channels + k) * out_h * out_w;
      for (std::int64_t row = rows.first; row < rows.last; ++row) std::copy_n(sums + (row - rows.first) * tiles.pitch(), out_w, to + row * out_w);
    }
  });
}

template <typename T>
void input_dictionary_gradient(const LookupProblem& problem, const T* grad_y, const LookupArrays<T>& lookups, T* grad_s) {
  const Conv2dProblem p = problem.lookup_stage();
  if (p.out_height() * p.out_width() == 1) return LookupsOfOnePosition<T>(p, lookups).input_dictionary_gradient(grad_y, grad_s);
  const std::int64_t image = p.in_channels * p.height * p.width, out_image = p.out_channels * p.out_height() * p.out_width();
  const OutputGradientTile<T> tiles(p);
  const Units units(p.batch, tiles.strips(), p.in_channels);
  const auto runs = tiles.lookups(lookups);
  const LookupLoops<T> loops = lookup_loops<T>();
  for_each_run_of_units(tiles, units, grad_y, out_image, [&](std::int64_t n, Range entries, Range rows, const T* from, T* sums) {
    const std::int64_t length = (rows.last - rows.first) * tiles.pitch();
    for (std::int64_t output = entries.first * tiles.phases(); output < entries.last * tiles.phases(); ++output) {
      const std::int64_t first = runs.offsets[output], last = runs.offsets[output + 1];
      loops.gather_run(runs.lookups.data() + first, last - first, T(0), from, length, sums);
      tiles.store(output, rows, sums, grad_s + n * image);
    }
  });
}

template <typename T>
void coefficient_gradient(const LookupProblem& problem, const T* grad_y, const T* s, const LookupArrays<T>& lookups,
                          T* grad_coefficients) {
  const Conv2dProblem p = problem.lookup_stage();
  if (p.out_height() * p.out_width() == 1) return LookupsOfOnePosition<T>(p, lookups).coefficient_gradient(grad_y, s, grad_coefficients);
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
    std::vector<T> tile(tiles.elements()), run(tiles.most_rows() * tiles.pitch() + kBeyond);
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
