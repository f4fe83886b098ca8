#include "kernels/cpu/flat_plan.h"

#include <algorithm>
#include <array>

namespace lcnn::cpu {
namespace {

constexpr std::array kBlockSizes{8, 6, 5, 4};
// Of X where it is copied, and of S, of a strip. Most of it may lie beyond a core's L2: rows of S that two strips compute cost
// more.
constexpr std::int64_t kTileBytes = 2400 * 1024;
// Of a thread's time that is not spent waiting for others, or on what another strip computes, too: below, strips are shared.
constexpr double kEnoughToDo = 0.75;

// The block size that computes the fewest entries that are not there, the larger one of equals.
int block_size_for(std::int64_t entries) {
  const auto computed = [&](int size) { return (entries + size - 1) / size * size; };
  return *std::ranges::min_element(kBlockSizes, {}, computed);
}

LookupProblem stride_first(LookupProblem problem) {
  if (problem.conv.kernel == Pair{1, 1} && problem.conv.stride != Pair{1, 1}) problem.granularity = Granularity::filter;
  return problem;
}

// [0, length) cut into blocks of at most `most` vectors, about even, that do not cut `together` vectors. Where blocks may not end
// beyond `length`, which is then a vector at least, the last one is moved back: it computes some elements again.
std::vector<FlatBlock> blocks_of(std::int64_t length, int lanes, int most, bool may_end_beyond, int together = 1) {
  std::vector<FlatBlock> blocks;
  const std::int64_t unit = lanes * together;
  const std::int64_t whole = may_end_beyond ? divided_up(length, unit) : length / unit, count = divided_up(whole, most / together);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t first = whole * i / count, last = whole * (i + 1) / count;
    blocks.push_back({first * unit, static_cast<int>(last - first) * together});
  }
  if (whole * unit < length) blocks.push_back({length - lanes, 1});
  return blocks;
}

// Phases of S up to the last one that a tap looks up.
std::int64_t phases_looked_up(const LookupProblem& problem, const FoldedTaps& folded) {
  const Conv2dProblem& conv = problem.conv;
  const FlatLayout layout(conv, 1);
  std::int64_t phases = 0;
  for (std::int64_t tap = 0; tap < conv.taps(); ++tap) {
    if (!folded.has(tap)) phases = std::max(phases, layout.phase_of(tap / conv.kernel[1], tap % conv.kernel[1]) + 1);
  }
  return phases;
}

}  // namespace

FlatPlan::FlatPlan(const LookupProblem& given, int threads, Gathering how, const FoldedTaps& folded)
    : problem(stride_first(given)),
      block_size(block_size_for(problem.dictionary_size_per_group())),
      filter_block_size(block_size_for(problem.conv.out_channels_per_group())),
      gathering(how),
      one_position(!of_filters && conv.height * conv.width == 1 && conv.padding == Pair{0, 0}),
      // Where D or filters have taps, and under strides where X is not more than S.
      pads_x(!one_position && (of_filters || gathering == Gathering::filters || (conv.stride != Pair{1, 1} && conv.in_channels <= problem.dictionary_size))),
      s_phases(phases_looked_up(problem, folded)) {
  choose_strips(threads);
  layout = layout_of(strip_rows);
  const bool few = conv.height * conv.width < 3 * kBeyond || fewest_rows_under() * conv.width < kBeyond;
  copies_x = pads_x || (!one_position && few);
  places_s = !pads_x && (conv.padding != Pair{0, 0} || conv.stride != Pair{1, 1});
  const std::int64_t under = layout.rows() * conv.width;  // a strip's values of one channel
  x_plane = plane_pitch(pads_x ? layout.plane() : under);
  s_plane = one_position ? 1 : s_elements(layout, strip_rows);
  run_plane = places_s ? plane_pitch(under) : 0;
  for (std::int64_t strip = 0; strip < strips; ++strip) strip_plans.push_back(plan_of(strip));
}

// As few strips as kTileBytes allows; more where threads have several and that keeps them busier, rows that two strips compute
// counted half. Fewer strips than threads are better shared: one image in two strips took a sixth longer.
void FlatPlan::choose_strips(int threads) {
  const std::int64_t height = conv.out_height();
  std::int64_t most = height;
  while (most > 1 && tile_bytes(most) > kTileBytes) --most;
  const double halo = of_filters || s_phases == 0 ? 0 : static_cast<double>((conv.kernel[0] - 1) * conv.dilation[0]) / static_cast<double>(2 * conv.stride[0]);
  const auto busy = [&](std::int64_t count) {
    const std::int64_t rows = divided_up(height, count), rounds = divided_up(conv.batch * divided_up(height, rows), threads);
    return static_cast<double>(conv.batch * height) / (static_cast<double>(rounds * threads) * (static_cast<double>(rows) + halo));
  };
  const std::int64_t fewest = divided_up(height, most);
  const std::int64_t enough = conv.batch * fewest >= threads ? std::min(height, 4 * fewest) : fewest;
  std::int64_t best = fewest;
  for (std::int64_t count = fewest; count <= enough; ++count) {
    if (busy(count) > busy(best)) best = count;
  }
  // A single thread has nobody to share with.
  strip_each = threads == 1 || busy(best) >= kEnoughToDo;
  strip_rows = divided_up(height, strip_each ? best : fewest);
  strips = divided_up(height, strip_rows);
}

std::int64_t FlatPlan::tile_bytes(std::int64_t rows) const {
  const FlatLayout of_rows = layout_of(rows);
  const std::int64_t plane = plane_pitch(of_rows.plane());
  return (pads_x ? conv.in_channels * plane + problem.dictionary_size * s_elements(of_rows, rows) : problem.dictionary_size * 2 * plane) * 4;
}

// Of an entry's plane in the S tile of a strip of rows.
std::int64_t FlatPlan::s_elements(const FlatLayout& of, std::int64_t rows) const {
  if (s_phases == 0) return 0;
  if (of_filters) return plane_pitch(rows * of.pitch());
  return plane_pitch(pads_x ? s_phases * of.phase() : of.plane());  // S that is placed is placed in all phases
}

std::int64_t FlatPlan::fewest_rows_under() const {
  std::int64_t fewest = conv.height;
  for (std::int64_t strip = 0; strip < strips; ++strip) {
    const RowsUnder under = layout.rows_under(strip * strip_rows);
    fewest = std::min(fewest, under.last - under.first);
  }
  return fewest;
}

StripPlan FlatPlan::plan_of(std::int64_t strip) const {
  StripPlan plan{.under = layout.rows_under(strip * strip_rows)};
  const std::int64_t rows = std::min(strip_rows, conv.out_height() - strip * strip_rows);
  const std::int64_t pixels = (rows - 1) * layout.pitch() + conv.out_width();
  if (pads_x || conv.stride != Pair{1, 1}) plan.rows = row_places(plan.under);
  else plan.plane = plane_vectors(plan.under);
  plan.formed = s_phases == 0 ? 0 : of_filters ? pixels : pads_x ? s_phases * layout.phase() : (plan.under.last - plan.under.first) * conv.width;
  plan.form = blocks_of(plan.formed, shape.lanes, shape.form_vectors, copies_x);
  // A block that was moved back writes elements of the one in front again: one thread takes both.
  plan.form_units = std::ssize(plan.form) - (std::ssize(plan.form) > 1 && plan.form.back().start % shape.lanes != 0);
  const int most = gathering == Gathering::filters ? block_shape(filter_block_size).form_vectors
                   : gathering == Gathering::quads ? shape.quad_vectors
                                                   : shape.gather_vectors;
  const int row = gathering == Gathering::columns ? static_cast<int>(layout.pitch()) / shape.lanes : 1;
  plan.gather = blocks_of(pixels, shape.lanes, most, true, row);
  for (const FlatBlock& block : plan.gather) {
    plan.first_out.push_back(std::ssize(plan.out));
    append_out_vectors(block, pixels, plan.out);
  }
  return plan;
}

std::vector<RowPlaces> FlatPlan::row_places(const RowsUnder& under) const {
  std::vector<RowPlaces> phases;
  for (std::int64_t phase = 0; phase < layout.column_phases(); ++phase) {
    const auto [first, count, left] = layout.columns_of(phase);
    RowPlaces places{count, {}};
    for (std::int64_t down = 0; down < layout.rows(); ++down) {
      const std::int64_t row = under.top + down, row_phase = down % conv.stride[0];
      if (row_phase >= layout.row_phases()) continue;
      const bool inside = row >= under.first && row < under.last;
      places.rows.push_back({inside ? (row - under.first) * conv.width + first : -1,
                             layout.phase_start(row_phase, phase) + down / conv.stride[0] * layout.pitch() + left});
    }
    phases.push_back(std::move(places));
  }
  return phases;
}

// Strides of 1: a plane's vectors in terms of contiguous rows.
std::vector<PlaneVector> FlatPlan::plane_vectors(const RowsUnder& under) const {
  std::vector<PlaneVector> vectors(static_cast<std::size_t>((layout.plane() + shape.lanes - 1) / shape.lanes));
  std::int64_t element = 0;
  for (PlaneVector& vector : vectors) {
    vector = {.offset = -1};
    for (int lane = 0; lane < shape.lanes; ++lane, ++element) {
      const std::int64_t row = under.top + element / layout.pitch(), column = element % layout.pitch() - conv.padding[1];
      if (row < under.first || row >= under.last || column < 0 || column >= conv.width) continue;
      const auto from = static_cast<std::int32_t>((row - under.first) * conv.width + column);
      if (vector.offset < 0) vector.offset = from;
      vector.values[lane / 8] |= static_cast<std::uint8_t>(1 << (lane % 8));
      vector.indices[lane] = from - vector.offset;
    }
    vector.offset = std::max(vector.offset, 0);
  }
  return vectors;
}

// A vector is stored whole where what lies behind its pixels is stored later in the same block.
void FlatPlan::append_out_vectors(const FlatBlock& block, std::int64_t length, std::vector<OutVector>& vectors) const {
  const std::int64_t out_w = conv.out_width(), pitch = layout.pitch();
  const auto pixels_before = [&](std::int64_t element) { return element / pitch * out_w + std::min(element % pitch, out_w); };
  const std::int64_t block_end = pixels_before(std::min(block.start + block.vectors * shape.lanes, length));
  for (int v = 0; v < block.vectors; ++v) {
    const std::int64_t start = block.start + v * shape.lanes;
    OutVector vector{.offset = static_cast<std::int32_t>(pixels_before(start))};
    for (int lane = 0, pixels = 0; lane < shape.lanes; ++lane) {
      if (start + lane < length && (start + lane) % pitch < out_w) vector.pixels[pixels++] = lane;
    }
    vector.stored = static_cast<std::int32_t>(std::min<std::int64_t>(shape.lanes, block_end - vector.offset));
    vectors.push_back(vector);
  }
}

}  // namespace lcnn::cpu
