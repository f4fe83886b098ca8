#include "kernels/cuda/wgmma_gather_source.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/source_parts.h"
#include "kernels/cuda/swizzled_rows.h"
#include "kernels/cuda/wgmma_product.h"
#include "kernels/weights.h"

namespace lcnn::cuda {
namespace {

constexpr std::int64_t kMostTiles = 32, kLeastTiles = 8, kQuickLookups = 4096;  // to try; fewer where the compiler takes longer than for as many lookups
constexpr int kChannels = 8;           // that a warp sums at once
constexpr int kMostPixels = 8;         // of a lane
constexpr int kMostBox = 256;          // columns, rows or images that a tiled copy takes
constexpr int kMostOwnEntries = 128;   // of a warpgroup's sums
constexpr int kMostStages = 4;         // of slices, but where X stays for all parts of the dictionary
constexpr int kMostChannelParts = 4;
constexpr int kLeastPart = 16;         // of a dictionary, in entries
constexpr int kLeastColumns = 24;      // of a tile that has not all: halos are more than a tenth
constexpr int kMostStoreBuffers = 4;
constexpr int kMostBakedLookups = 16384;  // of a layer, as code: more take the compiler too long

int terms(Precision precision) { return precision == Precision::fp32 ? 2 : 1; }
int product_tiles(const WgmmaGatherLayout& layout) { return divide_up(layout.own_positions, 64); }  // of a block
// That a warp stores at once: with lookups as data or as code.
int stored_channels(Precision precision) { return 32 / static_cast<int>(element_bytes(precision)); }
int staged_channels(Precision precision) { return 128 / static_cast<int>(element_bytes(precision)); }

// Of a thread that forms S, and of one that looks up.
struct Registers {
  int form, look_up;
};

// Besides sums as the compiler was seen to need.
Registers needed_registers(Precision precision, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  constexpr int kForm = 34, kTerms = 18, kNextLoaded = 16, kGather = 58, kFewSums = 64, kBaked = 24, kBakedMany = 32;
  const int sums = layout.own_entries / 2, own_tiles = divide_up(product_tiles(layout), tile.form_groups);
  const int form = own_tiles * tile.halves * sums + kForm + (precision == Precision::fp32 ? sums + kTerms + (own_tiles > 1 ? kNextLoaded : 0) : 0);
  const int baked_sums = tile.sums * tile.baked_channels;
  const int look_up = baked_sums > 0 ? baked_sums + (baked_sums > kFewSums || tile.halves == 2 ? kBakedMany : kBaked) : (kChannels + (element_bytes(precision) == 2 ? 2 : 0)) * layout.pixels + kGather;
  return {round_up(form, 8), round_up(look_up, 8)};
}

// What they get of a block's: {0, 0} where all have the same, nothing where there are too few.
std::optional<Registers> granted_registers(Precision precision, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  constexpr int kMost = 248;
  const Registers needed = needed_registers(precision, tile, layout);
  const int most = layout.most_registers();
  if (std::max(needed.form, needed.look_up) <= most) return Registers{0, 0};
  const int warps = layout.threads / 32, form_warps = tile.form_groups * 4;
  // The others of whichever needs more.
  Registers granted = needed;
  (needed.form > most ? granted.look_up : granted.form) =
      needed.form > most ? (warps * most - form_warps * needed.form) / tile.gather_warps / 8 * 8 : (warps * most - tile.gather_warps * needed.look_up) / form_warps / 8 * 8;
  if (granted.form < needed.form || granted.look_up < needed.look_up || std::max(needed.form, needed.look_up) > kMost) return std::nullopt;
  return granted;
}

int lookups_of(const Conv2dProblem& stage, const LookupTable& lookups, std::int64_t channel) {
  return lookups.row_offsets[(channel + 1) * stage.taps()] - lookups.row_offsets[channel * stage.taps()];
}

// A value as the kernel's sums begin with it: a float, or twice in 16 bits.
std::uint32_t sum_word(float value, Precision precision, int halves) {
  return halves == 1 ? std::bit_cast<std::uint32_t>(value) : bits_of(precision, value) * 0x10001u;
}

// action(part of the dictionary, place, coefficient) for each lookup of a channel: where in S, in bytes from that of a position.
template <typename Action>
void for_each_lookup(const Conv2dProblem& stage, const LookupTable& lookups, const WgmmaGatherLayout& layout, int channel, const Action& action) {
  const auto taps = static_cast<int>(stage.taps()), kernel_w = static_cast<int>(stage.kernel[1]);
  for (int tap = 0; tap < taps; ++tap) {
    const auto r = static_cast<int>(tap / kernel_w * stage.dilation[0]), s = static_cast<int>(tap % kernel_w * stage.dilation[1]);
    const int row = channel * taps + tap;
    for (std::int32_t i = lookups.row_offsets[row]; i < lookups.row_offsets[row + 1]; ++i) {
      const auto entry = static_cast<int>(lookups.indices[i]);
      action(entry / layout.entries, (entry % layout.entries * layout.entry_pitch + r * layout.pitch + s) * 4, lookups.coefficients[i]);
    }
  }
}

// How many of a channel's lookups a warp adds at once: loads wait for each other only from one such step to the next, but what fills up
// a channel's last one is loaded in vain.
int best_at_once(const Conv2dProblem& stage, const LookupTable& lookups, int pixels) {
  constexpr int kMostValues = 24, kWait = 5;  // loaded at once; of a step, in loads
  std::int64_t least = 0;
  int best = 0;
  for (int at_once = 1; at_once == 1 || at_once * pixels <= kMostValues; ++at_once) {
    std::int64_t steps = 0;
    for (std::int64_t channel = 0; channel < stage.out_channels; ++channel) steps += divide_up(lookups_of(stage, lookups, channel), at_once);
    const std::int64_t taken = steps * (kWait + at_once * (pixels + 1));
    if (best == 0 || taken < least) {
      best = at_once;
      least = taken;
    }
  }
  return best;
}

// How many sums of 16 bits a channel takes to be near enough, 0 for more than two. Of n lookups in one sum, each addition rounds what has been added so
// far, which comes to (n + 1) / 2 roundings of the result, in squares; in two sums to half of that, and one where these are added up; S has one more.
// The library rounds once, and what is up to 4 times as far off is accepted.
int sums_in_halves(const Conv2dProblem& stage, const LookupTable& lookups) {
  constexpr double kMostRoundings = 10;
  for (const int sums : {1, 2}) {
    double roundings = 0;
    for (std::int64_t channel = 0; channel < lookups.out_channels; ++channel) {  // none where weights are not known yet
      const double n = lookups_of(stage, lookups, channel);
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

constexpr double kStorePosition = 184, kStoreLoad = 29;  // of 32 bytes of 32 positions: of a warp that waits, and of the multiprocessor

LookupCost listed_cost(Precision precision, double channel_lookups, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  constexpr double kPadding = 0.97, kStep = 54, kLoad = 1.1;
  constexpr int kAtOnce = 3;
  const double loads = stored_channels(precision) * channel_lookups * kPadding * (layout.pixels + 1);
  const double warp_item = stored_channels(precision) * std::ceil(channel_lookups * kPadding / kAtOnce) * kStep + loads + layout.pixels * kStorePosition;
  const double item_loads = (loads + layout.pixels * kStoreLoad) * kLoad;
  const int items = layout.items();
  return {std::max(divide_up(items, tile.gather_warps) * warp_item, items * item_loads * std::max(1.0, 8.0 / tile.gather_warps)), items * item_loads, 0};
}

LookupCost baked_cost(Precision precision, double channel_lookups, double values, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  constexpr double kInstruction = 0.33, kFetchKiB = 89, kAlone = 2.3, kStored = 33, kStoreWait = 75, kStoreAgain = 175;
  const double lookups = channel_lookups * std::min(tile.baked_channels, layout.block_channels);
  const double loads = values * (1 - std::exp(-lookups / values)), instructions = lookups + loads;
  const int items = layout.items(), rounds = divide_up(items, tile.gather_warps);
  const double code = instructions * layout.items() / layout.position_blocks / 64;  // KiB
  const double stored = static_cast<double>(tile.baked_channels) * tile.halves / stored_channels(precision);
  const double item = instructions * kInstruction + stored * kStored;
  const double again = std::ceil(static_cast<double>(tile.baked_channels) * tile.halves / staged_channels(precision) / tile.store_buffers) - 1;
  return {std::max(rounds * (instructions * kAlone + stored * kStoreWait + again * kStoreAgain), items * item), items * item, code * kFetchKiB};
}

// What a tile is expected to cost, in cycles. Constants are fitted to 1,447 tiles with lookups as code timed on an H200, of 76 layers and
// precisions (rms 0.18 of the logarithm, first choice 4% behind the best of those timed).
double cost(const LookupProblem& problem, Precision precision, const LookupCounts& lookups, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout, int shared_limit,
            int multiprocessors) {
  constexpr double kBegin = 1440, kLatency = 1030, kRefill = 236, kFill = 17.7, kExchange = 4200, kOverlap = 1.26, kSlices = 0.06;
  constexpr double kProducts = 96, kTermsLoad = 177, kNarrowest = 23, kSplit = 140;  // of S, 64 positions and a slice
  constexpr double kPart = 1200;      // of the dictionary: warps wait for each other
  constexpr double kClusters = 0.86;  // groups of processors are no multiple of clusters of more than two blocks
  const Conv2dProblem& conv = problem.conv;
  const int own_entries = layout.own_entries, slices = divide_up(conv.in_channels, slice_channels(precision)), tiles64 = product_tiles(layout);
  const int own_tiles = divide_up(tiles64, tile.form_groups), products = precision == Precision::fp32 ? 12 : 4;
  const Registers needed = needed_registers(precision, tile, layout);
  const bool divided = granted_registers(precision, tile, layout)->form > 0;
  const int by_shared = shared_limit / (layout.shared_bytes(tile) + 1024), by_registers = divided ? 1 : 65536 / (layout.threads * std::max(needed.form, needed.look_up));
  const double resident = std::max(1, std::min(by_shared, by_registers));
  const double fitting = tile.cluster <= 2 ? 1 : kClusters;
  const double at_once = std::min<double>(layout.tiles, std::max(1.0, std::floor(multiprocessors * resident * fitting / layout.channel_blocks)));
  const double rounds = std::ceil(layout.tiles / at_once), sharing = std::ceil(at_once * layout.channel_blocks / multiprocessors);

  const int parts = tile.dictionary_parts;
  const double input_bytes = slices * 128.0 * tile.halves * layout.own_positions, dictionary_bytes = slices * 128.0 * terms(precision) * own_entries;
  const double bytes = input_bytes * (tile.stages >= slices ? 1 : parts) + (tile.dictionary_stages == parts * slices ? 0 : dictionary_bytes * parts);
  const double copied = std::max((input_bytes + dictionary_bytes) / kFill, slices * kRefill / tile.stages);
  const double product = products * std::max(own_entries / 2.0, kNarrowest);
  const double form = slices * (precision == Precision::fp32 ? own_tiles * (product + kProducts + kTermsLoad) : own_tiles * tile.halves * product + kProducts);
  const double all_products = parts * slices * tiles64 * tile.halves * product;
  const double stored = layout.own_positions * own_entries / 8.0 / tile.form_groups / 4 + (parts > 1 ? kPart : 0);
  const double exchanged = tile.cluster == 1 ? 0 : kExchange;

  const double channel_lookups = static_cast<double>(lookups.all) / static_cast<double>(conv.out_channels);
  const auto [look_up, shared_look_up, fetch] =
      tile.baked_channels > 0 ? baked_cost(precision, channel_lookups, static_cast<double>(lookups.values), tile, layout) : listed_cost(precision, channel_lookups, tile, layout);
  const double all_loads = shared_look_up + (precision == Precision::fp32 ? parts * slices * tiles64 * kSplit : 0);

  const double formed = form + stored + exchanged, part_look_up = (look_up + fetch) / parts;
  const double first = kLatency + std::max(copied, form) + stored + exchanged + (parts - 1) * std::max(formed, part_look_up + stored + exchanged) + part_look_up;
  const double following = kOverlap * std::max({sharing * bytes / kFill, parts * slices * kRefill / tile.stages, sharing * all_products, parts * formed,
                                                look_up + parts * (stored + exchanged), sharing * all_loads});
  const double latencies = 1 + kSlices / tile.stages;  // that slices in flight hide
  return latencies * (kBegin + first + (sharing - 1) * std::max({bytes / kFill, all_products, all_loads}) + (rounds - 1) * following);
}

}  // namespace

std::string tile_name(const WgmmaGatherTile& tile) {
  return fmt::format("{}i{}r{}x{}c{}m{}p{}b{}f{}w{}s{}t{}k{}h{}z{}d{}y", tile.images, tile.rows, tile.columns, tile.cluster, tile.channel_parts, tile.position_parts, tile.position_blocks, tile.form_groups,
                     tile.gather_warps, tile.stages, tile.dictionary_stages, tile.baked_channels, tile.halves, tile.sums, tile.dictionary_parts, tile.store_buffers);
}

WgmmaGatherLayout::WgmmaGatherLayout(const LookupProblem& problem, Precision precision, const WgmmaGatherTile& tile, std::int64_t lookups) {
  const Conv2dProblem& conv = problem.conv;
  const auto out_h = static_cast<int>(conv.out_height()), out_w = static_cast<int>(conv.out_width());
  const auto far_rows = static_cast<int>((conv.kernel[0] - 1) * conv.dilation[0]), far_columns = static_cast<int>((conv.kernel[1] - 1) * conv.dilation[1]);
  const auto padding_h = static_cast<int>(conv.padding[0]), padding_w = static_cast<int>(conv.padding[1]);
  const bool whole = tile.rows >= out_h;
  // Zeros beside a whole row serve its neighbour, too, and those above an image the one in front of it.
  pitch = tile.columns < out_w ? tile.columns + far_columns : static_cast<int>(std::max(conv.width + padding_w, conv.out_width()));
  image_rows = whole ? std::max(static_cast<int>(conv.height) + padding_h, out_h) : tile.rows + far_rows;
  own_images = tile.images == 1 ? 1 : divide_up(tile.images, tile.position_parts);
  own_rows = tile.images == 1 ? divide_up(image_rows, tile.position_parts) : image_rows;
  // Each entry's positions of a part are copied as words of 16 bytes; rows behind the last are read only where they hold zeros.
  while (tile.position_parts > 1 && own_images * own_rows * pitch % 4 != 0) ++own_rows;
  own_positions = own_images * own_rows * pitch;
  positions = tile.position_parts * own_positions;
  const int behind = std::max(1, (whole ? padding_h * pitch : 0) + std::max(padding_w, far_columns));
  const int forming_blocks = tile.cluster / tile.position_parts;  // of some entries each
  entries = round_up(divide_up(problem.dictionary_size, tile.dictionary_parts), 8 * forming_blocks);
  own_entries = entries / forming_blocks;
  entry_parts = forming_blocks * tile.dictionary_parts;
  entry_pitch = round_up(positions + behind - 4, 8) + 4;  // neighbours two entries apart are 8 banks apart
  const int lines = (tile.images - 1) * image_rows + std::min(tile.rows, out_h);  // that are looked up
  const bool baked = tile.baked_channels > 0;
  item_lines = std::max(1, 32 / pitch);
  line_items = pitch <= 32 ? 1 : divide_up(tile.columns, 32);
  item_columns = pitch <= 32 ? pitch : divide_up(tile.columns, line_items);
  position_blocks = baked ? divide_up(lines, item_lines) * line_items : tile.position_blocks;
  pixels = baked ? 1 : divide_up((lines - 1) * pitch + tile.columns, 32 * position_blocks);
  const int last_item = (position_blocks - 1) / line_items * item_lines * pitch + (line_items - 1) * item_columns;
  reach = baked ? last_item + 32 : pixels * 32 * position_blocks;
  const int read = reach + far_rows * pitch + far_columns;
  channel_blocks = tile.cluster * tile.channel_parts;
  block_channels = round_up(divide_up(conv.out_channels, channel_blocks), stored_channels(precision));
  half_images = tile.halves == 2 && conv.batch > 1 ? tile.images : 0;
  half_rows = tile.halves == 2 && conv.batch == 1 ? tile.rows : 0;
  half_bytes = round_up(own_positions, 8) * 128;
  input_bytes = tile.halves * half_bytes;
  dictionary_bytes = terms(precision) * own_entries * 128;
  store_bytes = baked ? tile.gather_warps * tile.store_buffers * 4096 : position_blocks * pixels * 128;
  entry_bytes = round_up(((entries - 1) * entry_pitch + std::max(entry_pitch, read)) * 4, 16);
  item_channels = baked ? tile.baked_channels : stored_channels(precision);
  lookups_at_once = baked ? 0 : 1;
  record_bytes = baked ? round_up(block_channels, item_channels) * 4 : round_up(lookups_byte() + lookups * 8, 16);
  column_tiles = out_w / tile.columns;
  row_tiles = divide_up(out_h, tile.rows + half_rows);
  tiles = column_tiles * row_tiles * divide_up(conv.batch, tile.images + half_images);
  threads = (tile.form_groups * 4 + tile.gather_warps) * 32;
}

WgmmaGatherLayout::WgmmaGatherLayout(const LookupProblem& problem, Precision precision, const WgmmaGatherTile& tile, const LookupTable& lookups)
    : WgmmaGatherLayout(problem, precision, tile, 0) {
  if (tile.baked_channels > 0) return;
  const Conv2dProblem stage = problem.lookup_stage();
  lookups_at_once = best_at_once(stage, lookups, pixels);
  int most = 0;
  for (std::int64_t first = 0; first < stage.out_channels; first += block_channels) {
    int padded = 0;
    for (std::int64_t channel = first; channel < std::min(first + block_channels, stage.out_channels); ++channel) {
      padded += round_up(lookups_of(stage, lookups, channel), lookups_at_once);
    }
    most = std::max(most, padded);
  }
  record_bytes = round_up(lookups_byte() + (most + lookups_at_once) * 8, 16);
}

int WgmmaGatherLayout::lookups_byte() const { return round_up((2 * block_channels + 1) * 4, 16); }

std::vector<WgmmaGatherTile> wgmma_gather_tiles(const LookupProblem& problem, Precision precision, const LookupTable& table, int shared_limit, int multiprocessors) {
  const Conv2dProblem& conv = problem.conv;
  const LookupCounts lookups = counts_of(problem, table);
  const auto out_h = static_cast<int>(conv.out_height()), out_w = static_cast<int>(conv.out_width());
  std::vector<std::pair<double, WgmmaGatherTile>> costs;
  // Whether there can be one.
  const auto consider = [&](const WgmmaGatherTile& tile) {
    const bool baked = tile.baked_channels > 0;
    const int channel_blocks = tile.cluster * tile.channel_parts;
    if (baked && channel_blocks > 1 && divide_up(conv.out_channels, channel_blocks) % staged_channels(precision) != 0) return false;
    if (baked && tile.baked_channels % staged_channels(precision) != 0 && tile.baked_channels < conv.out_channels) return false;
    const double share = 1.0 / channel_blocks;
    const WgmmaGatherLayout layout(problem, precision, tile, std::llround(std::ceil(static_cast<double>(lookups.all) * std::min(1.0, share * 1.1))));
    if (layout.pixels > kMostPixels || layout.pitch > kMostBox || layout.own_rows > kMostBox) return false;
    if (layout.own_entries > kMostOwnEntries) return false;
    if (tile.dictionary_parts > 1 && layout.items() > tile.gather_warps) return false;
    if (tile.dictionary_parts == 1 && tile.stages > kMostStages) return false;
    if (tile.images > 1 && (layout.own_images * tile.position_parts != tile.images || layout.own_rows != layout.image_rows)) return false;
    if (tile.form_groups > product_tiles(layout) || layout.shared_bytes(tile) > shared_limit) return false;
    if (!granted_registers(precision, tile, layout)) return false;
    costs.emplace_back(cost(problem, precision, lookups, tile, layout, shared_limit, multiprocessors), tile);
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
  // Lookups as code, in all ways.
  const auto consider_baked = [&](WgmmaGatherTile tile) {
    if (lookups.all > kMostBakedLookups) return;
    for (const int channels : {32, 64, 96, 128}) {
      tile.baked_channels = channels;
      if (channels >= 2 * divide_up(conv.out_channels, tile.cluster * tile.channel_parts)) continue;
      for (tile.halves = 1; tile.halves <= (tile.position_parts == 1 && sums > 0 ? 2 : 1); ++tile.halves) {
        tile.sums = tile.halves == 2 ? sums : 1;
        const int pieces = tile.halves * divide_up(std::min<std::int64_t>(channels, conv.out_channels), staged_channels(precision));
        for (tile.dictionary_parts = 1; tile.dictionary_parts == 1 || problem.dictionary_size >= kLeastPart * tile.dictionary_parts; tile.dictionary_parts *= 2) {
          for (tile.store_buffers = std::min(pieces, kMostStoreBuffers); tile.store_buffers > 0 && !consider_dictionary(tile); --tile.store_buffers) continue;
        }
      }
    }
  };
  // All ways to divide a block's work between its warps.
  const auto consider_divided = [&](WgmmaGatherTile tile) {
    for (tile.form_groups = 1; tile.form_groups <= 4; ++tile.form_groups) {
      for (const int warps : {4, 8, 12, 16}) {
        tile.gather_warps = warps;
        for (tile.stages = 2; tile.stages <= kMostStages; ++tile.stages) {
          for (tile.position_blocks = 1; tile.position_blocks <= 4; ++tile.position_blocks) consider_dictionary(tile);
          tile.position_blocks = 1;
          consider_baked(tile);
        }
        tile.stages = slices;
        if (slices > kMostStages) consider_baked(tile);
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
  std::set<std::tuple<int, int, int, int, int, int, int, int, int, int, int>> ways;
  std::vector<WgmmaGatherTile> tiles = cheapest_tiles(std::move(costs));
  std::erase_if(tiles, [&](const WgmmaGatherTile& tile) { return !ways.insert({tile.images, tile.rows, tile.columns, tile.cluster, tile.channel_parts, tile.position_parts, tile.form_groups, tile.gather_warps, tile.baked_channels, tile.halves, tile.dictionary_parts}).second; });
  const std::int64_t most = std::clamp(kMostTiles * kQuickLookups / std::max<std::int64_t>(lookups.all, 1), kLeastTiles, kMostTiles);
  tiles.resize(std::min(tiles.size(), static_cast<std::size_t>(most)));
  return tiles;
}

std::vector<std::uint32_t> wgmma_gather_records(const Conv2dProblem& stage, const LookupTable& lookups, std::span<const float> bias,
                                                Precision precision, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  const int words = layout.record_bytes / 4;
  std::vector<std::uint32_t> records(static_cast<std::size_t>(words) * layout.channel_blocks);
  for (int block = 0; block < layout.channel_blocks; ++block) {
    std::uint32_t* record = records.data() + static_cast<std::size_t>(block) * words;
    const int first_channel = block * layout.block_channels;
    const int channels = std::clamp(static_cast<int>(stage.out_channels) - first_channel, 0, layout.block_channels);
    for (int k = 0; k < channels && !bias.empty(); ++k) record[k] = sum_word(bias[first_channel + k], precision, tile.halves);
    if (tile.baked_channels > 0) continue;
    std::uint32_t *first = record + layout.block_channels, *to = record + layout.lookups_byte() / 4, count = 0;
    for (int k = 0; k < layout.block_channels; ++k) {
      first[k] = count;
      if (k >= channels) continue;
      for_each_lookup(stage, lookups, layout, first_channel + k, [&](int, int place, float coefficient) {
        *to++ = static_cast<std::uint32_t>(place);
        *to++ = std::bit_cast<std::uint32_t>(coefficient);
        ++count;
      });
      for (; count % layout.lookups_at_once != 0; ++count, to += 2) to[0] = to[-2];  // the coefficient is 0
    }
    first[layout.block_channels] = count;
  }
  return records;
}

std::vector<std::uint32_t> wgmma_gather_dictionary(const LookupProblem& problem, std::span<const float> dictionary, Precision precision,
                                                   int own_entries, int parts) {
  const auto channels = static_cast<int>(problem.conv.in_channels);
  const int slice = slice_channels(precision), slices = divide_up(channels, slice);
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(parts) * slices * terms(precision) * own_entries * 32);
  for (int entry = 0; entry < static_cast<int>(problem.dictionary_size); ++entry) {
    for (int channel = 0; channel < channels; ++channel) {
      const int within = channel % slice, row = entry % own_entries;
      // Step within / 2 % 4 of a thread's eight channels, of which it holds two at a step, four inner indices apart.
      const int place = precision == Precision::fp32 ? within / 2 % 4 * 8 + within / 8 + within % 2 * 4 : within;
      const float value = dictionary[entry * channels + channel];
      for (int term = 0; term < terms(precision); ++term) {
        const std::size_t at = ((static_cast<std::size_t>(entry / own_entries) * slices + channel / slice) * terms(precision) + term) * own_entries + row;
        const float stored = precision != Precision::fp32 ? value : term == 0 ? tf32_of(value) : tf32_of(value - tf32_of(value));
        put_swizzled(packed, at, place, precision, stored);
      }
    }
  }
  return packed;
}

namespace {

// add_lookups() of wgmma_baked_lookups.cuh: straight-line code for each group of channels.
void write_baked_lookups(SourceOut out, const Conv2dProblem& stage, const LookupTable& lookups, Precision precision, const WgmmaGatherTile& tile,
                         const WgmmaGatherLayout& layout) {
  const int groups = layout.items() / layout.position_blocks, all_groups = layout.channel_blocks * groups;  // of a block, of all
  fmt::format_to(out, "__device__ __forceinline__ void add_lookups(int part, int group, u32 position, Sum (&sums)[SUMS * ITEM_CHANNELS]) {{\n  switch (part * {} + group) {{\n", all_groups);
  for (int group = 0; group < all_groups; ++group) {
    const int block_first = group / groups * layout.block_channels, first = block_first + group % groups * tile.baked_channels;
    const int last = std::min({first + tile.baked_channels, block_first + layout.block_channels, static_cast<int>(stage.out_channels)});
    // Of each part of the dictionary: bytes behind the position in S -> sums and coefficients.
    std::vector<std::map<int, std::vector<std::pair<int, float>>>> parts(tile.dictionary_parts);
    for (int channel = first; channel < last; ++channel) {
      const int to_first_sum = divide_up(lookups_of(stage, lookups, channel), tile.sums);
      int count = 0;
      for_each_lookup(stage, lookups, layout, channel, [&](int part, int place, float coefficient) {
        parts[part][place].emplace_back(channel - first + (count++ < to_first_sum ? 0 : tile.baked_channels), coefficient);
      });
    }
    for (int part = 0; part < tile.dictionary_parts; ++part) {
      fmt::format_to(out, "  case {}:\n", part * all_groups + group);
      for (const auto& [place, uses] : parts[part]) {
        fmt::format_to(out, "{{const Sum s=load_shared<Sum,{}>(position);", place);
        for (const auto& [sum, coefficient] : uses) {
          if (tile.halves == 1) fmt::format_to(out, "sums[{0}]=fmaf({1:a}f,s,sums[{0}]);", sum, coefficient);
          else fmt::format_to(out, "sums[{0}]=Math::multiply_add({1:#x},s,sums[{0}]);", sum, sum_word(coefficient, precision, 2));
        }
        fmt::format_to(out, "}}\n");
      }
      fmt::format_to(out, "  break;\n");
    }
  }
  fmt::format_to(out, "  }}\n}}\n");
}

}  // namespace

std::string wgmma_gather_source(const LookupProblem& problem, const LookupTable& lookups, Precision precision, const WgmmaGatherTile& tile,
                                const WgmmaGatherLayout& layout) {
  const Conv2dProblem& conv = problem.conv;
  std::string source = std::string(kDictionaryTileSource) + kHopperSource;
  const Registers registers = granted_registers(precision, tile, layout).value_or(Registers{0, 0});
  write_constants(SourceOut(source), precision,
                  {{"IMAGES", tile.images}, {"ROWS", tile.rows}, {"CLUSTER", tile.cluster}, {"CHANNEL_PARTS", tile.channel_parts}, {"POSITION_PARTS", tile.position_parts}, {"HALVES", tile.halves}, {"SUMS", tile.sums}, {"ONE", sum_word(1, precision, tile.halves)}, {"DICTIONARY_PARTS", tile.dictionary_parts}, {"HALF_IMAGES", layout.half_images},
                   {"HALF_ROWS", layout.half_rows}, {"ITEM_LINES", layout.item_lines}, {"LINE_ITEMS", layout.line_items}, {"ITEM_COLUMNS", layout.item_columns},
                   {"STORE_BUFFERS", tile.store_buffers}, {"STORE_BYTES", layout.store_bytes}, {"OWN_IMAGES", layout.own_images}, {"OWN_ROWS", layout.own_rows},
                   {"POSITION_BLOCKS", layout.position_blocks}, {"ITEM_CHANNELS", layout.item_channels}, {"FORM_GROUPS", tile.form_groups}, {"GATHER_WARPS", tile.gather_warps}, {"STAGES", tile.stages}, {"DICTIONARY_STAGES", tile.dictionary_stages},
                   {"PITCH", layout.pitch}, {"IMAGE_ROWS", layout.image_rows}, {"ENTRIES", layout.entries},
                   {"ENTRY_PITCH", layout.entry_pitch}, {"PIXELS", layout.pixels}, {"LOOKUPS_AT_ONCE", layout.lookups_at_once}, {"BLOCK_CHANNELS", layout.block_channels}, {"ENTRY_BYTES", layout.entry_bytes},
                   {"RECORD_BYTES", layout.record_bytes}, {"LOOKUPS_BYTE", layout.lookups_byte()}, {"COLUMNS", tile.columns}, {"COLUMN_TILES", layout.column_tiles}, {"ROW_TILES", layout.row_tiles}, {"TILES", layout.tiles},
                   {"FORM_REGISTERS", registers.form}, {"GATHER_REGISTERS", registers.look_up}, {"ELEMENT_BYTES", element_bytes(precision)}, {"IN_CHANNELS", conv.in_channels}, {"OUT_CHANNELS", conv.out_channels},
                   {"OUT_HEIGHT", conv.out_height()}, {"OUT_WIDTH", conv.out_width()}, {"BATCH", conv.batch}, {"PADDING_H", conv.padding[0]},
                   {"PADDING_W", conv.padding[1]}});
  source += "using lcnn_device::u64, lcnn_device::u32;\ntemplate <int kColumns> struct Product;\ntemplate <int kColumns> struct RegisterProduct;\n";
  write_product(SourceOut(source), precision, layout.own_entries, precision == Precision::fp32 ? ProductKind::registers : ProductKind::dense);
  source += kWgmmaGatherBlockSource;
  source += tile.baked_channels == 0 ? kWgmmaListedLookupsSource : kWgmmaBakedLookupsSource;
  source += kWgmmaGatherKernelSource;
  if (tile.baked_channels > 0) write_baked_lookups(SourceOut(source), problem.lookup_stage(), lookups, precision, tile, layout);
  return source;
}

}  // namespace lcnn::cuda
