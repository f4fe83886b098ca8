#include "kernels/cpu/folded_taps.h"

#include <algorithm>

#include "kernels/cpu/flat_layout.h"

namespace lcnn::cpu {
namespace {

// A lookup is a load for each of its multiply-adds; a product's loads serve several.
constexpr std::int64_t kLookupCost = 2;

std::int64_t rounded_up(std::int64_t count, std::int64_t to) { return (count + to - 1) / to * to; }

}  // namespace

bool FoldedTaps::has(std::int64_t tap) const { return std::ranges::binary_search(taps, tap); }

FoldedTaps taps_to_fold(const LookupProblem& problem, const LookupTable& lookups, int lanes) {
  const Conv2dProblem& conv = problem.conv;
  if (conv.height * conv.width == 1) return {};  // nothing to share a filter between
  const FlatLayout layout(conv, conv.out_height());
  const bool filters = problem.granularity == Granularity::filter;
  const std::int64_t pixels = rounded_up(conv.out_height() * layout.pitch(), lanes), inner = conv.in_channels_per_group();
  // Filters are one phase, whose S has as many positions as the output.
  const std::int64_t phases = filters ? 1 : layout.row_phases() * layout.column_phases();
  const std::int64_t positions = filters ? pixels * conv.taps() : rounded_up(layout.phase(), lanes);
  std::vector<std::vector<std::int64_t>> taps(phases);
  std::vector<std::int64_t> lookups_of(phases, 0);
  for (std::int64_t tap = 0; tap < conv.taps(); ++tap) {
    const std::int64_t phase = filters ? 0 : layout.phase_of(tap / conv.kernel[1], tap % conv.kernel[1]);
    taps[phase].push_back(tap);
    if (filters && tap > 0) continue;
    for (std::int64_t row = tap; row < lookups.rows(); row += lookups.rows() / lookups.out_channels) {
      lookups_of[phase] += lookups.row_offsets[row + 1] - lookups.row_offsets[row];
    }
  }
  FoldedTaps folded;
  for (std::int64_t phase = 0; phase < phases; ++phase) {
    const std::int64_t looked_up = problem.dictionary_size * inner * positions + kLookupCost * lookups_of[phase] * pixels;
    const std::int64_t as_filters = conv.out_channels * inner * std::ssize(taps[phase]) * pixels;
    if (as_filters <= looked_up) folded.taps.insert(folded.taps.end(), taps[phase].begin(), taps[phase].end());
  }
  std::ranges::sort(folded.taps);
  return folded;
}

std::vector<float> folded_filters(const FoldedTaps& folded, const LookupProblem& problem, const LookupWeights& weights) {
  const std::vector<float> dense = dense_weights(problem, weights, Precision::fp32).weight;
  const std::int64_t taps = problem.conv.taps();
  std::vector<float> filters;
  for (std::size_t first = 0; first < dense.size(); first += taps) {
    for (const std::int64_t tap : folded.taps) filters.push_back(dense[first + tap]);
  }
  return filters;
}

}  // namespace lcnn::cpu
