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
constexpr int kMostSums = 96;  // of a thread
constexpr int kWordElements = 8;
constexpr int kTileGroups = 8;  // of positions, that a load of a warp holds
constexpr Precision kStored = Precision::fp16;  // bf16 is stored alike

int column_tiles(const LookupProblem& problem) { return divide_up(problem.conv.out_width(), kWordElements); }

// Steps of a group of channels, were the lookups spread evenly.
double expected_steps(const LookupProblem& problem, std::int64_t lookups) {
  const double rows = static_cast<double>(problem.conv.taps() * problem.dictionary_size);
  const double density = static_cast<double>(lookups) / (static_cast<double>(problem.conv.out_channels) * rows);
  return std::ceil(rows * (1 - std::pow(1 - std::min(density, 1.0), kGroupChannels)) / kStepRows);
}

double expected_list_bytes(const LookupProblem& problem, std::int64_t lookups, const CompactTile& tile) {
  return (expected_steps(problem, lookups) * 1.15 + 1) * tile.groups * kStepWords * 16;
}

// What a tile is expected to cost, in cycles: X and the lookups come, S is formed, a warp's steps behind each other or those of
// all warps of a multiprocessor, whichever takes longer, and Y goes.
double cost(const LookupProblem& problem, std::int64_t lookups, const CompactTile& tile, const CompactLayout& layout, int shared_limit, int multiprocessors) {
  constexpr double kRound = 4000, kFill = 35, kFormStep = 90, kStep = 70, kLoad = 10, kLoadRate = 5, kMemory = 12;
  const Conv2dProblem& conv = problem.conv;
  const double list = expected_list_bytes(problem, lookups, tile), shared = 16.0 * layout.words() + list;
  const int resident = std::max(1, std::min({static_cast<int>(shared_limit / (shared + 1024)), 64 / tile.warps, 65536 / (tile.warps * 32 * 128)}));
  const double blocks = static_cast<double>(layout.grid_x) * layout.grid_y * static_cast<double>(conv.batch);
  const double rounds = std::ceil(blocks / (static_cast<double>(multiprocessors) * resident));
  const double sharing = std::min<double>(resident, std::ceil(blocks / multiprocessors));
  const double x_bytes = static_cast<double>(conv.in_channels * std::min<std::int64_t>(layout.s_rows, conv.height) * conv.width) * 2;
  const int units = divide_up(divide_up(problem.dictionary_size, 16), layout.unit_tiles) *
                    divide_up(layout.s_rows * conv.width, kTileGroups * layout.loads * layout.vector);
  const double form_steps = static_cast<double>(divide_up(units * layout.k_split, tile.warps)) * divide_up(divide_up(conv.in_channels, 16), layout.k_split);
  const double form = form_steps * (kFormStep + 4.0 * layout.unit_tiles * layout.loads * layout.vector);
  const double steps = expected_steps(problem, lookups), loads = std::ceil(tile.warp_rows * column_tiles(problem) / 2.0);
  const int items = tile.groups * layout.row_tiles;
  const double warp = divide_up(items, tile.warps) * (steps * (kStep + kLoad * loads) + 400 + 40 * loads);
  const double all = sharing * items * (steps * (5 + kLoadRate * loads) + 20 * loads);
  const double output = static_cast<double>(tile.rows * conv.out_width()) * tile.groups * kGroupChannels * 2;
  return rounds * (kRound + sharing * (x_bytes + list + 16.0 * layout.dictionary_words) / kFill + form + std::max(warp, all) + sharing * output / kMemory);
}

}  // namespace

CompactLayout::CompactLayout(const LookupProblem& problem, const CompactTile& tile, bool shared_dictionary)
    : row_tiles(divide_up(tile.rows, tile.warp_rows)),
      s_rows(static_cast<int>((row_tiles * tile.warp_rows - 1) * problem.conv.stride[0] + (problem.conv.kernel[0] - 1) * problem.conv.dilation[0] + 1)),
      places(column_tiles(problem), static_cast<int>(problem.dictionary_size), s_rows) {
  const Conv2dProblem& conv = problem.conv;
  const auto width = static_cast<int>(conv.width), channels = static_cast<int>(conv.in_channels);
  const int plane = static_cast<int>(conv.height) * width, entry_tiles = divide_up(problem.dictionary_size, 16);
  const auto out_h = static_cast<int>(conv.out_height()), out_w = static_cast<int>(conv.out_width()), out_plane = out_h * out_w;
  grid_x = divide_up(out_h, tile.rows);
  grid_y = divide_up(conv.out_channels, tile.groups * kGroupChannels);
  tile_words = static_cast<int>(conv.kernel[1]) * places.column_words;
  dictionary_words = shared_dictionary ? divide_up(channels, 16) * entry_tiles * 32 : 0;

  vector = widest_vector(width, kStored);
  loads = vector >= 4 ? 1 : 4 / vector;
  whole_image = grid_x == 1;
  // Of words that begin and end in what is beside them; an odd number of words between channels where they are whole.
  const int strip = divide_up(s_rows * width + 14, kWordElements) * kWordElements + plane % kWordElements;
  x_pitch = whole_image ? plane : strip + (strip % 16 == 0 ? kWordElements : 0);
  const int x_words = divide_up(channels * x_pitch + kWordElements, kWordElements);

  const int positions = loads * vector;
  unit_tiles = 1;
  while (unit_tiles < entry_tiles && unit_tiles * 2 <= most_entry_tiles(kStored, positions)) unit_tiles *= 2;
  const int units = divide_up(entry_tiles, unit_tiles) * divide_up(s_rows * width, kTileGroups * positions);
  const auto partial_words = [&](int split) { return units * (split - 1) * unit_tiles * positions * 4 * 32 / 4; };
  k_split = 1;
  while (units * k_split * 2 <= tile.warps && channels >= 32 * k_split && partial_words(k_split * 2) <= std::max(x_words, 1024)) k_split *= 2;

  const int run = tile.warp_rows * out_w;
  whole_planes = tile.warp_rows == out_h && tile.rows == out_h;
  // What every piece of y, and where it begins, are multiples of.
  store_elements = std::gcd(kWordElements, whole_planes ? std::gcd(kGroupChannels, static_cast<int>(conv.out_channels)) * out_plane
                                                        : std::gcd(std::gcd(run, tile.rows * out_w), out_plane));
  const int run_pitch = whole_planes ? run : divide_up(run, store_elements) * store_elements;
  staging_words = divide_up(kGroupChannels * run_pitch, kWordElements);
  input_words = std::max({x_words, partial_words(k_split), tile.warps * staging_words});
}

CompactLayout compact_layout(const LookupProblem& problem, const CompactTile& tile, double list_bytes, int shared_limit) {
  const CompactLayout layout(problem, tile, true);
  return 16.0 * layout.words() + list_bytes <= shared_limit ? layout : CompactLayout(problem, tile, false);
}

std::vector<CompactTile> compact_tiles(const LookupProblem& problem, std::int64_t lookups, int shared_limit, int multiprocessors) {
  constexpr int kReserved = 1024;  // of shared memory, for what kernels keep besides
  const auto out_h = static_cast<int>(problem.conv.out_height());
  const int all_groups = divide_up(problem.conv.out_channels, kGroupChannels);
  std::vector<std::pair<double, CompactTile>> costs;
  const auto consider = [&](const CompactTile& tile) {
    if (tile.warp_rows * column_tiles(problem) * 4 > kMostSums) return;
    const double list = expected_list_bytes(problem, lookups, tile);
    const CompactLayout layout = compact_layout(problem, tile, list, shared_limit - kReserved);
    if (tile.warps > 2 * tile.groups * layout.row_tiles && tile.warps > 4) return;
    if (16.0 * layout.words() + list > shared_limit - kReserved) return;
    costs.emplace_back(cost(problem, lookups, tile, layout, shared_limit, multiprocessors), tile);
  };
  for (int warp_rows = 1; warp_rows <= std::min(out_h, 14); ++warp_rows) {
    for (const int groups : {1, 2, 4, 8, 16}) {
      if (groups >= 2 * all_groups) break;
      for (const int warps : {4, 8, 16}) {
        for (int rows = warp_rows; rows < out_h; rows += warp_rows) consider({rows, warp_rows, groups, warps});
        consider({out_h, warp_rows, groups, warps});
      }
    }
  }
  return cheapest_tiles(std::move(costs), kMostTiles);
}

std::string compact_source(const LookupProblem& problem, Precision precision, const CompactTile& tile, const CompactLayout& layout) {
  const Conv2dProblem& conv = problem.conv;
  std::string source = std::string(kDictionaryTileSource) + kLookupPairsSource;
  write_constants(SourceOut(source), precision,
                  {{"ROWS", tile.rows}, {"WARP_ROWS", tile.warp_rows}, {"GROUPS", tile.groups}, {"WARPS", tile.warps},
                   {"ROW_TILES", layout.row_tiles}, {"S_ROWS", layout.s_rows}, {"ENTRY_WORDS", layout.places.entry_words},
                   {"INPUT_WORDS", layout.input_words}, {"TILE_WORDS", layout.tile_words}, {"STAGING_WORDS", layout.staging_words},
                   {"SHARED_DICTIONARY", layout.dictionary_words > 0}, {"WHOLE_IMAGE", layout.whole_image}, {"WHOLE_PLANES", layout.whole_planes},
                   {"BATCH", conv.batch}, {"STORE", layout.store_elements}, {"X_PITCH", layout.x_pitch}, {"VECTOR", layout.vector},
                   {"LOADS", layout.loads}, {"UNIT_TILES", layout.unit_tiles}, {"K_SPLIT", layout.k_split}, {"DICTIONARY", problem.dictionary_size},
                   {"IN_CHANNELS", conv.in_channels}, {"HEIGHT", conv.height}, {"WIDTH", conv.width}, {"OUT_CHANNELS", conv.out_channels},
                   {"OUT_HEIGHT", conv.out_height()}, {"OUT_WIDTH", conv.out_width()}, {"KERNEL_W", conv.kernel[1]},
                   {"STRIDE_H", conv.stride[0]}, {"STRIDE_W", conv.stride[1]}, {"PADDING_H", conv.padding[0]}, {"PADDING_W", conv.padding[1]},
                   {"DILATION_W", conv.dilation[1]}});
  return source + kCompactKernelSource;
}

}  // namespace lcnn::cuda
