#include "kernels/cuda/wgmma_gather_tiles.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "kernels/cuda/tile_sizes.h"

namespace lcnn::cuda {
namespace {

constexpr std::int64_t kMostTiles = 32, kLeastTiles = 8, kQuickLookups = 4096;  // to try; fewer where the compiler takes longer than for as many lookups
constexpr int kMostItemBlocks = 2;
constexpr int kMostBox = 256;          // columns, rows or images that a tiled copy takes
constexpr int kMostOwnEntries = 128;   // of a warpgroup's sums
constexpr int kMostStages = 4;         // of slices, but where X stays for all parts of the dictionary
constexpr int kMostChannelParts = 4;
constexpr int kLeastPart = 16;         // of a dictionary, in entries
constexpr int kLeastColumns = 24;      // of a tile that has not all: halos are more than a tenth
constexpr int kMostStoreBuffers = 4;

// How many sums of 16 bits a channel takes to be near enough, 0 for more than two. Of n lookups in one sum, each addition rounds what has been added so
// far, which comes to (n + 1) / 2 roundings of the result, in squares; in two sums to half of that, and one where these are added up; S has one more.
// The library rounds once, and what is up to 4 times as far off is accepted.
int sums_in_halves(const Conv2dProblem& stage, const LookupTable& lookups) {
  constexpr double kMostRoundings = 10;
  for (const int sums : {1, 2}) {
    double roundings = 0;
    for (std::int64_t channel = 0; channel < lookups.out_channels; ++channel) {  // none where weights are not known yet
      const double n = channel_lookups(stage, lookups, channel);
      roundings += n * ((n / sums + 1) / 2 + sums);
    }
    if (roundings <= kMostRoundings * static_cast<double>(lookups.lookups())) return sums;
  }
  return 0;
}

// How many there are, and how many values of S around a position they look up.
struct LookupCounts {
  std::int64_t all, values;
};

LookupCounts counts_of(const LookupProblem& problem, const LookupTable& lookups) {
  const std::int64_t taps = problem.conv.taps();
  std::vector<bool> used(static_cast<std::size_t>(problem.dictionary_size * taps));
  for (std::int64_t row = 0; row + 1 < static_cast<std::int64_t>(lookups.row_offsets.size()); ++row) {
    for (std::int32_t i = lookups.row_offsets[row]; i < lookups.row_offsets[row + 1]; ++i) used[lookups.indices[i] * taps + row % taps] = true;
  }
  return {lookups.lookups(), std::max<std::int64_t>(1, std::ranges::count(used, true))};
}

// What the lookups of a tile of S cost, in cycles: until they are done, of what blocks of a multiprocessor share, and once, to fetch their code.
struct LookupCost {
  double time, shared, fetch;
};

LookupCost listed_cost(Precision precision, double mean_lookups, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  constexpr double kPadding = 1.15, kStep = 39.5, kInstruction = 5.7, kLoad = 1.51, kStored = 4, kStoreWait = 115;
  constexpr int kAtOnce = 4;
  const double steps = tile.item_channels * (mean_lookups * kPadding / kAtOnce), blocks = tile.item_blocks;
  const double stored = tile.item_channels * tile.halves * blocks / stored_channels(precision);
  const double item = steps * kAtOnce * (blocks + lookup_bytes(tile) / 16.0) * kLoad + stored * kStored;
  const double warp_item = steps * (kStep + kAtOnce * blocks * kInstruction) + stored * kStoreWait;
  return {std::max(divide_up(layout.items, tile.gather_warps) * warp_item, layout.items * item), layout.items * item, 0};
}

LookupCost baked_cost(Precision precision, double mean_lookups, double values, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  constexpr double kInstruction = 0.33, kFetchKiB = 89, kAlone = 2.3, kStored = 33, kStoreWait = 194, kStoreAgain = 175;
  const double lookups = mean_lookups * std::min(tile.item_channels, layout.block_channels);
  const double loads = values * (1 - std::exp(-lookups / values)), instructions = lookups + loads;
  const int items = layout.items, rounds = divide_up(items, tile.gather_warps);
  const double code = instructions * layout.items / layout.position_items / 64;  // KiB
  const double stored = static_cast<double>(tile.item_channels) * tile.halves / stored_channels(precision);
  const double item = instructions * kInstruction + stored * kStored;
  const double again = std::ceil(static_cast<double>(tile.item_channels) * tile.halves / slice_channels(precision) / tile.store_buffers) - 1;
  return {std::max(rounds * (instructions * kAlone + stored * kStoreWait + again * kStoreAgain), items * item), items * item, code * kFetchKiB};
}

// What a tile is expected to cost, in cycles. Constants are fitted to tiles timed on an H200, 805 with lookups as code and 429 as data, of 53 layers and
// precisions (rms 0.20 and 0.11 of the logarithm, first choice 4% behind the best of those timed).
double cost(const LookupProblem& problem, Precision precision, const LookupCounts& lookups, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout,
            const WarpRegisters& registers, int shared_limit, int multiprocessors) {
  constexpr double kBegin = 2430, kLatency = 2310, kRefill = 108, kFill = 17.7, kExchange = 5240, kOverlap = 1.26, kSlices = 0.06;
  constexpr double kReadByAll = 0.57;  // of D's bytes, which the L2 has, in X's
  constexpr double kProducts = 164, kTermsLoad = 177, kNarrowest = 23, kSplit = 140;  // of S, 64 positions and a slice
  constexpr double kPart = 1200;      // of the dictionary: warps wait for each other
  constexpr double kClusters = 0.41;  // groups of processors are no multiple of clusters of more than two blocks; a few that wait take as long as all
  const Conv2dProblem& conv = problem.conv;
  const int own_entries = layout.own_entries, slices = divide_up(conv.in_channels, slice_channels(precision)), tiles64 = product_tiles(layout);
  const int own_tiles = divide_up(tiles64, tile.form_groups), products = precision == Precision::fp32 ? 12 : 4;
  const int by_shared = shared_limit / (layout.shared_bytes(tile) + 1024), by_registers = registers.divided ? 1 : 65536 / (layout.threads * registers.form);
  const double resident = std::max(1, std::min(by_shared, by_registers));
  const double fitting = tile.cluster <= 2 ? 1 : kClusters;
  const double at_once = std::min<double>(layout.tiles, std::max(1.0, std::floor(multiprocessors * resident * fitting / layout.channel_blocks)));
  const double rounds = std::ceil(layout.tiles / at_once), sharing = std::ceil(at_once * layout.channel_blocks / multiprocessors);

  const int parts = tile.dictionary_parts;
  const double input_bytes = slices * 128.0 * tile.halves * layout.own_positions, dictionary_bytes = kReadByAll * slices * 128.0 * dictionary_terms(precision) * own_entries;
  const double bytes = input_bytes * (tile.stages >= slices ? 1 : parts) + (tile.dictionary_stages == parts * slices ? 0 : dictionary_bytes * parts);
  const double copied = std::max((input_bytes + dictionary_bytes) / kFill, slices * kRefill / tile.stages);
  const double product = products * std::max(own_entries / 2.0, kNarrowest);
  const double form = slices * (precision == Precision::fp32 ? own_tiles * (product + kProducts + kTermsLoad) : own_tiles * tile.halves * product + kProducts);
  const double all_products = parts * slices * tiles64 * tile.halves * product;
  const double stored = layout.own_positions * own_entries / 8.0 / tile.form_groups / 4 + (parts > 1 ? kPart : 0);
  const double exchanged = tile.cluster == 1 ? 0 : kExchange;

  const double mean_lookups = static_cast<double>(lookups.all) / static_cast<double>(conv.out_channels);
  const auto [look_up, shared_look_up, fetch] =
      tile.code ? baked_cost(precision, mean_lookups, static_cast<double>(lookups.values), tile, layout) : listed_cost(precision, mean_lookups, tile, layout);
  const double all_loads = shared_look_up + (precision == Precision::fp32 ? parts * slices * tiles64 * kSplit : 0);

  const double formed = form + stored + exchanged, part_look_up = (look_up + fetch) / parts;
  const double first = kLatency + std::max(copied, form) + stored + exchanged + (parts - 1) * std::max(formed, part_look_up + stored + exchanged) + part_look_up;
  const double following = kOverlap * std::max({sharing * bytes / kFill, parts * slices * kRefill / tile.stages, sharing * all_products, parts * formed,
                                                look_up + parts * (stored + exchanged), sharing * all_loads});
  const double latencies = 1 + kSlices / tile.stages;  // that slices in flight hide
  return latencies * (kBegin + first + (sharing - 1) * std::max({bytes / kFill, all_products, all_loads}) + (rounds - 1) * following);
}

}  // namespace

std::vector<WgmmaGatherTile> wgmma_gather_tiles(const LookupProblem& problem, Precision precision, const LookupTable& table, int shared_limit, int multiprocessors) {
  const Conv2dProblem& conv = problem.conv;
  const LookupCounts lookups = counts_of(problem, table);
  const auto out_h = static_cast<int>(conv.out_height()), out_w = static_cast<int>(conv.out_width());
  std::vector<std::pair<double, WgmmaGatherTile>> costs;
  // Whether there can be one.
  const auto consider = [&](const WgmmaGatherTile& tile) {
    if (tile.dictionary_parts == 1 && tile.stages > kMostStages) return false;
    const int channel_blocks = tile.cluster * tile.channel_parts, stored = std::min(slice_channels(precision), tile.item_channels);
    // No block stores beyond its channels.
    if (channel_blocks > 1 && divide_up(conv.out_channels, channel_blocks) % stored != 0) return false;
    if (tile.item_channels % stored != 0 && tile.item_channels < conv.out_channels) return false;
    const double share = 1.0 / channel_blocks;
    const WgmmaGatherLayout layout(problem, precision, tile, std::llround(std::ceil(static_cast<double>(lookups.all) * std::min(1.0, share * 1.1))));
    if (tile.item_blocks % layout.line_items != 0 && layout.line_items % tile.item_blocks != 0) return false;
    if (layout.pitch > kMostBox || layout.own_rows > kMostBox) return false;
    if (layout.own_entries > kMostOwnEntries) return false;
    if (tile.dictionary_parts > 1 && layout.items > tile.gather_warps) return false;
    if (tile.images > 1 && (layout.own_images * tile.position_parts != tile.images || layout.own_rows != layout.image_rows)) return false;
    if (tile.form_groups > product_tiles(layout) || layout.shared_bytes(tile) > shared_limit) return false;
    const std::optional<WarpRegisters> registers = granted_registers(precision, tile, layout);
    if (!registers) return false;
    costs.emplace_back(cost(problem, precision, lookups, tile, layout, *registers, shared_limit, multiprocessors), tile);
    return true;
  };
  const int slices = divide_up(conv.in_channels, slice_channels(precision));
  // With as many slices of D at a time as of X, and with all of them.
  const auto consider_dictionary = [&](WgmmaGatherTile tile) {
    const int all = tile.dictionary_parts * slices;
    tile.dictionary_stages = std::min({tile.stages, kMostStages, all});
    const bool some = consider(tile);
    if (tile.dictionary_stages == all) return some;
    tile.dictionary_stages = all;
    return consider(tile) || some;
  };
  const int sums = element_bytes(precision) == 2 ? sums_in_halves(problem.lookup_stage(), table) : 0;
  // With as many buffers for outputs as fit.
  const auto consider_stores = [&](WgmmaGatherTile tile) {
    const int pieces = tile.item_blocks * tile.halves * divide_up(std::min<std::int64_t>(tile.item_channels, conv.out_channels), slice_channels(precision));
    for (tile.store_buffers = std::min(pieces, kMostStoreBuffers); tile.store_buffers > 0 && !consider_dictionary(tile); --tile.store_buffers) continue;
  };
  // Lookups as code and as data, in all ways.
  const auto consider_lookups = [&](WgmmaGatherTile tile) {
    const auto out_channels = divide_up(conv.out_channels, tile.cluster * tile.channel_parts);
    for (tile.halves = 1; tile.halves <= (tile.position_parts == 1 && sums > 0 ? 2 : 1); ++tile.halves) {
      tile.sums = tile.halves == 2 ? sums : 1;
      tile.code = true;
      for (const int channels : {32, 64, 96, 128}) {
        if (lookups.all > kMostBakedLookups || channels >= 2 * out_channels) break;
        tile.item_channels = channels;
        for (tile.dictionary_parts = 1; tile.dictionary_parts == 1 || problem.dictionary_size >= kLeastPart * tile.dictionary_parts; tile.dictionary_parts *= 2) consider_stores(tile);
      }
      tile.dictionary_parts = 1;
      tile.code = false;
      for (int channels = stored_channels(precision); channels <= slice_channels(precision) && channels < 2 * out_channels; channels *= 2) {
        tile.item_channels = channels;
        for (tile.item_blocks = 1; tile.item_blocks <= kMostItemBlocks; ++tile.item_blocks) consider_stores(tile);
      }
      tile.item_blocks = 1;
    }
  };
  // All ways to divide a block's work between its warps.
  const auto consider_divided = [&](WgmmaGatherTile tile) {
    for (tile.form_groups = 1; tile.form_groups <= 4; ++tile.form_groups) {
      for (const int warps : {4, 8, 12, 16}) {
        tile.gather_warps = warps;
        for (tile.stages = 2; tile.stages <= kMostStages; ++tile.stages) {
          consider_lookups(tile);
        }
        tile.stages = slices;
        if (slices > kMostStages) consider_lookups(tile);
      }
    }
  };
  const auto consider_ways = [&](WgmmaGatherTile tile) {
    for (tile.channel_parts = 2; tile.channel_parts <= kMostChannelParts; ++tile.channel_parts) {
      if (conv.out_channels > stored_channels(precision) * (tile.channel_parts - 1)) consider_divided(tile);
    }
    tile.channel_parts = 1;
    for (tile.cluster = 1; tile.cluster <= 8; tile.cluster *= 2) {
      if (conv.out_channels <= stored_channels(precision) * (tile.cluster - 1)) break;
      tile.position_parts = 1;
      if (problem.dictionary_size > 8 * (tile.cluster - 1)) consider_divided(tile);
      tile.position_parts = tile.cluster;
      if (tile.cluster > 1) consider_divided(tile);
    }
  };
  for (int column_tiles = 1; column_tiles == 1 || out_w / column_tiles >= kLeastColumns; ++column_tiles) {
    if (out_w % column_tiles != 0) continue;
    for (int strips = 1; strips <= out_h; ++strips) {
      const int rows = divide_up(out_h, strips);
      if (strips > 1 && rows == divide_up(out_h, strips - 1)) continue;
      consider_ways({.rows = rows, .columns = out_w / column_tiles});
    }
  }
  for (const int images : {2, 3, 4, 8}) {
    if (images < 2 * conv.batch) consider_ways({.images = images, .rows = out_h, .columns = out_w});
  }
  // Only the best of those that divide the same work in the same way but for positions of a lane and slices in flight.
  std::set<std::tuple<int, int, int, int, int, int, int, int, bool, int, int, int>> ways;
  std::vector<WgmmaGatherTile> tiles = cheapest_tiles(std::move(costs));
  std::erase_if(tiles, [&](const WgmmaGatherTile& tile) {
    return !ways.insert({tile.images, tile.rows, tile.columns, tile.cluster, tile.channel_parts, tile.position_parts, tile.form_groups, tile.gather_warps,
                         tile.code, tile.item_channels, tile.halves, tile.dictionary_parts})
                .second;
  });
  const std::int64_t most = std::clamp(kMostTiles * kQuickLookups / std::max<std::int64_t>(lookups.all, 1), kLeastTiles, kMostTiles);
  tiles.resize(std::min(tiles.size(), static_cast<std::size_t>(most)));
  return tiles;
}

}  // namespace lcnn::cuda
