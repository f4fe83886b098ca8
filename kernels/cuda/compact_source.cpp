#include "kernels/cuda/compact_source.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/source_parts.h"

namespace lcnn::cuda {
namespace {

constexpr std::size_t kMostTiles = 64;
constexpr int kMostSums = 112;  // of a thread
constexpr int kWordElements = 8;

int column_tiles(const PaddedLayout& padded, const Conv2dProblem& stage) {
  return divide_up(std::max(stage.width, stage.out_width()), padded.element_bytes * 4);
}

// Steps of a group of channels, were the lookups spread evenly.
double expected_steps(const Conv2dProblem& stage, std::int64_t lookups) {
  const double rows = static_cast<double>(stage.kernel[0] * stage.in_channels);
  const double density = static_cast<double>(lookups) / (static_cast<double>(stage.out_channels * stage.kernel[1]) * rows);
  const double used = rows * (1 - std::pow(1 - std::min(density, 1.0), kGroupChannels));
  return static_cast<double>(stage.kernel[1]) * std::ceil(used / kStepRows);
}

double expected_list_bytes(const Conv2dProblem& stage, std::int64_t lookups, const CompactTile& tile) {
  return (expected_steps(stage, lookups) * 1.2 + 1) * tile.groups * kStepWords * 16;
}

// What a tile is expected to cost, in cycles: filling the block's shared memory, a warp's steps behind each other or those
// of all warps of a multiprocessor, whichever takes longer, and Y.
double cost(const Conv2dProblem& stage, std::int64_t lookups, const CompactTile& tile, const CompactLayout& layout, int shared_limit,
            int multiprocessors) {
  constexpr double kRound = 4000, kFill = 40, kStep = 60, kLoad = 10, kLoadRate = 4.5, kMemory = 18;
  const double list = expected_list_bytes(stage, lookups, tile);
  const double shared = 16.0 * (layout.tile_words + tile.warps * layout.staging_words) + list;
  const int resident = std::max(1, std::min({static_cast<int>(shared_limit / shared), 64 / tile.warps, 65536 / (tile.warps * 32 * 128)}));
  const double blocks = static_cast<double>(layout.grid_x) * layout.grid_y * layout.grid_z;
  const double rounds = std::ceil(blocks / (static_cast<double>(multiprocessors) * resident));
  const double sharing = std::min<double>(resident, std::ceil(blocks / multiprocessors));
  const double steps = expected_steps(stage, lookups);
  const int items = tile.groups * tile.images * layout.row_tiles;
  const double loads = std::ceil(tile.warp_rows * column_tiles(layout.padded, stage) / 2.0);
  const double warp = divide_up(items, tile.warps) * (steps * (kStep + kLoad * loads) + 300);
  const double all = sharing * items * steps * (5 + kLoadRate * loads);
  const double output = static_cast<double>(tile.images * tile.rows * stage.out_width()) * tile.groups * kGroupChannels * 2;
  return rounds * (kRound + sharing * (16.0 * layout.tile_words + list) / kFill + std::max(warp, all) + sharing * output / kMemory);
}

}  // namespace

CompactLayout::CompactLayout(const Conv2dProblem& stage, Precision precision, const CompactTile& tile)
    : padded(PaddedLayout::unshifted(stage, precision)) {
  const auto out_h = static_cast<int>(stage.out_height()), out_w = static_cast<int>(stage.out_width());
  const int entry_words = padded.pitch / kWordElements;
  places = {.entry_words = entry_words, .row_words = entry_words * padded.entries};
  row_tiles = divide_up(tile.rows, tile.warp_rows);
  s_rows = static_cast<int>((row_tiles * tile.warp_rows - 1) * stage.stride[0] + (stage.kernel[0] - 1) * stage.dilation[0] + 1);
  tile_words = ((tile.images - 1) * padded.image_rows + s_rows) * places.row_words;
  grid_x = divide_up(out_h, tile.rows);
  grid_y = divide_up(stage.out_channels, tile.groups * kGroupChannels);
  grid_z = divide_up(stage.batch, tile.images);
  const int plane = out_h * out_w, run = tile.warp_rows * out_w;
  whole_planes = tile.warp_rows == out_h && tile.rows == out_h;
  // What every piece of y, and where it begins, are multiples of.
  store_elements = std::gcd(kWordElements, whole_planes ? std::gcd(kGroupChannels, static_cast<int>(stage.out_channels)) * plane
                                                        : std::gcd(std::gcd(run, tile.rows * out_w), plane));
  const int run_pitch = whole_planes ? run : divide_up(run, store_elements) * store_elements;
  staging_words = divide_up(kGroupChannels * run_pitch, kWordElements);
}

std::vector<CompactTile> compact_tiles(const Conv2dProblem& stage, Precision precision, std::int64_t lookups, int shared_limit,
                                       int multiprocessors) {
  const auto out_h = static_cast<int>(stage.out_height());
  const int all_groups = divide_up(stage.out_channels, kGroupChannels);
  std::vector<std::pair<double, CompactTile>> costs;
  const auto consider = [&](const CompactTile& tile) {
    const CompactLayout layout(stage, precision, tile);
    if (tile.warps > tile.groups * tile.images * layout.row_tiles && tile.warps > 4) return;
    const int sums = static_cast<int>(stage.kernel[1]) * tile.warp_rows * column_tiles(layout.padded, stage) * 4;
    if (sums > kMostSums || (tile.warps == 16 && sums > 96)) return;
    if (16.0 * (layout.tile_words + tile.warps * layout.staging_words) + expected_list_bytes(stage, lookups, tile) > shared_limit) return;
    costs.emplace_back(cost(stage, lookups, tile, layout, shared_limit, multiprocessors), tile);
  };
  for (const int warp_rows : {1, 2, 3, 4, 5, 6, 7, 8}) {
    if (warp_rows > out_h) break;
    for (const int groups : {1, 2, 4, 8, 16}) {
      if (groups >= 2 * all_groups) break;
      for (const int warps : {4, 8, 16}) {
        for (int rows = warp_rows; rows < out_h; rows += warp_rows) consider({1, rows, warp_rows, groups, warps});
        for (int images = 1; images <= std::min<std::int64_t>(stage.batch, 8); images *= 2) consider({images, out_h, warp_rows, groups, warps});
      }
    }
  }
  std::ranges::stable_sort(costs, std::less<>(), [](const auto& entry) { return entry.first; });
  std::vector<CompactTile> tiles;
  for (const auto& [value, tile] : costs) {
    if (tiles.size() < kMostTiles) tiles.push_back(tile);
  }
  return tiles;
}

std::string compact_source(const Conv2dProblem& stage, Precision precision, const CompactTile& tile) {
  const CompactLayout layout(stage, precision, tile);
  std::string source = std::string(kDictionaryTileSource) + kLookupPairsSource;
  write_constants(SourceOut(source), precision,
                  {{"IMAGES", tile.images}, {"ROWS", tile.rows}, {"WARP_ROWS", tile.warp_rows}, {"GROUPS", tile.groups}, {"WARPS", tile.warps},
                   {"ROW_TILES", layout.row_tiles}, {"S_ROWS", layout.s_rows}, {"IMAGE_ROWS", layout.padded.image_rows},
                   {"PADDED_ROWS", layout.padded.rows()}, {"ENTRY_WORDS", layout.places.entry_words}, {"TILE_WORDS", layout.tile_words},
                   {"STAGING_WORDS", layout.staging_words}, {"STORE", layout.store_elements}, {"WHOLE_PLANES", layout.whole_planes},
                   {"DICTIONARY", stage.in_channels}, {"COLUMNS", std::max(stage.width, stage.out_width())}, {"BATCH", stage.batch},
                   {"OUT_CHANNELS", stage.out_channels}, {"OUT_HEIGHT", stage.out_height()}, {"OUT_WIDTH", stage.out_width()},
                   {"KERNEL_W", stage.kernel[1]}, {"STRIDE_H", stage.stride[0]}, {"PADDING_W", stage.padding[1]},
                   {"DILATION_W", stage.dilation[1]}});
  return source + kCompactKernelSource;
}

}  // namespace lcnn::cuda
