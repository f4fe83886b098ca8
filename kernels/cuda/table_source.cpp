#include "kernels/cuda/table_source.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/padded_layout.h"
#include "kernels/cuda/source_parts.h"

namespace lcnn::cuda {
namespace {

constexpr int kMostSums = 64;  // of a thread
constexpr std::size_t kMostTiles = 64;

// Lookups of a block's channels in one part, were they spread evenly, with room for uneven ones; 16 bytes a pair.
std::int64_t expected_list_bytes(const Conv2dProblem& stage, std::int64_t lookups, const TableTile& tile, const TableLayout& layout) {
  const double channels = static_cast<double>(tile.channel_groups * tile.channels);
  const double each = static_cast<double>(lookups) / static_cast<double>(stage.out_channels) / layout.places.parts;
  return static_cast<std::int64_t>(channels * (each * 1.5 + 2)) / 2 * 16;
}

// What a tile is expected to cost, in cycles. Fitted to 72 tiles timed on an H100 (root mean square error 14%): a thread's
// lookups follow each other, each behind the shared-memory loads of the block's other warps.
double cost(const Conv2dProblem& stage, Precision precision, std::int64_t lookups, const TableTile& tile, const TableLayout& layout,
            int shared_limit, int multiprocessors) {
  constexpr double kRound = 8800, kChannel = 110, kPair = 106, kPixel = 51, kMemory = 18;
  const double shared = 16.0 * layout.tile_words + static_cast<double>(expected_list_bytes(stage, lookups, tile, layout));
  const int resident = std::max(1, std::min(static_cast<int>(shared_limit / shared), 2048 / layout.threads));
  const double blocks = static_cast<double>(layout.grid_x) * layout.grid_y * layout.grid_z;
  const double rounds = std::ceil(blocks / (static_cast<double>(multiprocessors) * resident));
  const double sharing = std::min<double>(resident, std::ceil(blocks / multiprocessors));
  const double channel_pairs = static_cast<double>(lookups) / static_cast<double>(stage.out_channels) / 2;
  const double gather = tile.channels * (channel_pairs * (kPair + kPixel * tile.pixels) + kChannel * layout.places.parts);
  const double output = static_cast<double>(tile.images * tile.rows()) * static_cast<double>(stage.out_width()) * tile.channel_groups *
                        tile.channels * static_cast<double>(element_bytes(precision));
  return rounds * (kRound + gather + sharing * output / kMemory);
}

}  // namespace

TableLayout::TableLayout(const Conv2dProblem& stage, Precision precision, const TableTile& tile) {
  const PaddedLayout padded(stage, precision);
  s_rows = static_cast<int>((tile.rows() - 1) * stage.stride[0] + (stage.kernel[0] - 1) * stage.dilation[0] + 1);
  image_rows = padded.image_rows;
  slots = static_cast<int>(tile.images * tile.row_groups * stage.out_width());
  slot_warps = divide_up(slots, 32);
  threads = slot_warps * 32 * tile.channel_groups;
  grid_x = divide_up(stage.out_height(), tile.rows());
  grid_y = divide_up(stage.out_channels, tile.channel_groups * tile.channels);
  grid_z = divide_up(stage.batch, tile.images);
  const std::int64_t rows = static_cast<std::int64_t>(tile.images - 1) * image_rows + s_rows;
  tile_words = divide_up((rows * tile.entries * padded.pitch + padded.lead) * padded.element_bytes, 16);
  places = {.element_bytes = padded.element_bytes, .pitch = padded.pitch, .lead = padded.lead, .entries = tile.entries,
            .parts = divide_up(stage.in_channels, tile.entries),
            .block_channels = tile.channel_groups * tile.channels, .blocks = grid_y};
}

std::vector<TableTile> table_tiles(const Conv2dProblem& stage, Precision precision, std::int64_t lookups, int shared_limit,
                                   int multiprocessors) {
  const auto out_h = static_cast<int>(stage.out_height());
  std::vector<std::pair<double, TableTile>> costs;
  const auto add = [&](TableTile tile) {
    TableLayout layout(stage, precision, tile);
    const auto fits = [&] { return layout.tile_words * std::int64_t{16} + 2 * expected_list_bytes(stage, lookups, tile, layout) <= shared_limit; };
    if (layout.threads < 64 || layout.threads > 512) return;
    while (!fits() && tile.entries > 1) {
      tile.entries = (tile.entries + 1) / 2;
      layout = TableLayout(stage, precision, tile);
    }
    if (fits()) costs.emplace_back(cost(stage, precision, lookups, tile, layout, shared_limit, multiprocessors), tile);
  };
  for (const int pixels : {1, 2, 4, 7, 8}) {
    if (pixels > out_h) break;
    for (const int channels : {1, 2, 4, 8, 16}) {
      if (channels * pixels > kMostSums) break;
      for (const int channel_groups : {1, 2, 4, 8, 16}) {
        if (channels * (channel_groups - 1) >= stage.out_channels) break;
        for (int row_groups = 1; row_groups * pixels < out_h + pixels; ++row_groups) {
          const bool whole_images = row_groups * pixels >= out_h;
          const int most_images = whole_images ? static_cast<int>(std::min<std::int64_t>(stage.batch, 32)) : 1;
          for (int images = 1; images <= most_images; images *= 2) {
            add({.images = images, .row_groups = row_groups, .pixels = pixels, .channel_groups = channel_groups,
                 .channels = channels, .entries = static_cast<int>(stage.in_channels)});
          }
        }
      }
    }
  }
  return cheapest_tiles(std::move(costs), kMostTiles);
}

std::string table_source(const Conv2dProblem& stage, Precision precision, const TableTile& tile) {
  const TableLayout layout(stage, precision, tile);
  std::string source = std::string(kDictionaryTileSource) + kLookupPairsSource;
  write_constants(SourceOut(source), precision,
                  {{"IMAGES", tile.images}, {"ROW_GROUPS", tile.row_groups}, {"PIXELS", tile.pixels}, {"ROWS", tile.rows()},
                   {"CHANNEL_GROUPS", tile.channel_groups}, {"CHANNELS", tile.channels}, {"ENTRIES", tile.entries},
                   {"PARTS", layout.places.parts}, {"SLOTS", layout.slots}, {"SLOT_WARPS", layout.slot_warps}, {"THREADS", layout.threads},
                   {"S_ROWS", layout.s_rows}, {"IMAGE_ROWS", layout.image_rows},
                   {"PADDED_ROWS", stage.batch * layout.image_rows + stage.padding[0]}, {"PITCH", layout.places.pitch},
                   {"LEAD", layout.places.lead}, {"TILE_WORDS", layout.tile_words}, {"PADDED_CHANNELS", layout.places.channels()},
                   {"DICTIONARY", stage.in_channels}, {"BATCH", stage.batch}, {"OUT_CHANNELS", stage.out_channels},
                   {"OUT_HEIGHT", stage.out_height()}, {"OUT_WIDTH", stage.out_width()}, {"STRIDE_H", stage.stride[0]},
                   {"STRIDE_W", stage.stride[1]}});
  return source + kPaddedTileSource + kTableKernelSource;
}

}  // namespace lcnn::cuda
