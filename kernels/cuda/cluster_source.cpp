#include "kernels/cuda/cluster_source.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/source_parts.h"

namespace lcnn::cuda {
namespace {

constexpr std::size_t kMostTiles = 64;
constexpr int kRegisters = 128;  // of a thread, at most

// Bytes of the lookups of a block, were they spread evenly, with room for uneven ones.
double list_bytes(const LookupProblem& problem, std::int64_t lookups, const ClusterTile& tile) {
  const double channels = static_cast<double>(divide_up(problem.conv.out_channels, tile.cluster));
  return channels * (static_cast<double>(lookups) / static_cast<double>(problem.conv.out_channels) * 1.5 + 2) * 8;
}

// Blocks of a cluster share a GPC: larger clusters leave more of it idle. An H100 at one block a multiprocessor.
int clusters_at_once(int cluster, int multiprocessors) {
  const double full = static_cast<double>(multiprocessors) / cluster;
  return static_cast<int>(cluster <= 2 ? full : full * 0.92);
}

// What a tile is expected to cost, in cycles: the latency of X, sharing S, the instructions of the lookups, Y to memory.
double cost(const LookupProblem& problem, Precision precision, std::int64_t lookups, const ClusterTile& tile,
            const ClusterLayout& layout, int shared_limit, int multiprocessors) {
  constexpr double kMemory = 13, kLatency = 700, kStart = 4000;
  const Conv2dProblem& conv = problem.conv;
  const double warps = layout.threads / 32.0, bytes = static_cast<double>(element_bytes(precision));
  const int passes = divide_up(divide_up(problem.dictionary_size, 16), layout.warp_entry_tiles);
  const int steps = divide_up(divide_up(conv.in_channels, step_channels(precision)), tile.split);
  const double positions = layout.position_tiles * 8.0 * tile.loads * layout.vector;
  const double form = std::ceil(layout.position_tiles * passes * tile.split / warps) * std::ceil(steps / 2.0) * kLatency +
                      positions * static_cast<double>(conv.in_channels) * bytes / kMemory;
  const double share = static_cast<double>(problem.dictionary_size) * positions * (tile.cluster + tile.split) / 16;
  const double channel_lookups = static_cast<double>(lookups) / static_cast<double>(conv.out_channels);
  const double gather = layout.slot_warps * layout.places.block_channels * (channel_lookups * (2.25 + 2.0 * tile.pixels) + 20) / 4;
  const double output = static_cast<double>(conv.out_height() * conv.out_width()) * layout.places.block_channels * bytes / kMemory;
  const double shared = 16.0 * (layout.tile_words + layout.part_words) + list_bytes(problem, lookups, tile);
  const int resident = std::max(1, std::min({static_cast<int>(shared_limit / shared), 2048 / layout.threads, 65536 / (layout.threads * kRegisters)}));
  const double slots = static_cast<double>(clusters_at_once(tile.cluster, multiprocessors)) * resident;
  const double rounds = std::ceil(static_cast<double>(conv.batch) / slots);
  const double sharing = std::min<double>(resident, std::ceil(static_cast<double>(conv.batch) * tile.cluster / multiprocessors));
  const double busy = std::min(1.0, sharing * warps / 12);
  return rounds * (kStart + form + sharing * (share + gather / busy + output));
}

}  // namespace

ClusterLayout::ClusterLayout(const LookupProblem& problem, Precision precision, const ClusterTile& tile) {
  const Conv2dProblem& conv = problem.conv;
  vector = widest_vector(conv.width, precision);
  const int entry_tiles = divide_up(problem.dictionary_size, 16);
  warp_entry_tiles = 1;
  while (warp_entry_tiles * 2 <= most_entry_tiles(precision, tile.loads * vector) && warp_entry_tiles < entry_tiles) warp_entry_tiles *= 2;
  const int tile_positions = 8 * tile.loads * vector;
  position_tiles = divide_up(divide_up(conv.height * conv.width, tile.cluster), tile_positions);
  const int row_groups = divide_up(conv.out_height(), tile.pixels);
  slot_warps = divide_up(row_groups * conv.out_width(), 32);
  threads = slot_warps * 32 * tile.channel_groups;
  const auto lead = static_cast<int>(conv.padding[1]), pitch = static_cast<int>(conv.width) + lead;
  const std::int64_t rows = std::max((row_groups * tile.pixels - 1) * conv.stride[0] + (conv.kernel[0] - 1) * conv.dilation[0] + 1,
                                     conv.height + 2 * conv.padding[0]);
  tile_words = divide_up(rows * problem.dictionary_size * pitch + lead, 4);
  part_words = divide_up(static_cast<std::int64_t>(tile.split) * problem.dictionary_size * position_tiles * tile_positions, 4);
  places = {.element_bytes = 4, .pitch = pitch, .lead = lead, .entries = static_cast<int>(problem.dictionary_size), .parts = 1,
            .block_channels = divide_up(conv.out_channels, tile.cluster), .blocks = tile.cluster};
}

std::vector<ClusterTile> cluster_tiles(const LookupProblem& problem, Precision precision, std::int64_t lookups, int shared_limit,
                                       int multiprocessors) {
  const Conv2dProblem& conv = problem.conv;
  if (conv.batch > 65535) return {};
  const int vector = widest_vector(conv.width, precision), steps = divide_up(conv.in_channels, step_channels(precision));
  std::vector<std::pair<double, ClusterTile>> costs;
  for (const int cluster : {1, 2, 4, 8}) {
    for (const int pixels : {1, 2, 4, 7, 8, 14}) {
      if (pixels > conv.out_height()) break;
      for (const int channel_groups : {1, 2, 4, 8, 16}) {
        for (const int loads : {1, 2, 4}) {
          if (loads * vector > 8) break;
          for (const int split : {1, 2, 4, 8}) {
            if (split > steps) break;
            const ClusterTile tile{.cluster = cluster, .pixels = pixels, .channel_groups = channel_groups, .loads = loads, .split = split};
            const ClusterLayout layout(problem, precision, tile);
            if (layout.threads < 128 || layout.threads > 512) continue;
            if (16.0 * (layout.tile_words + layout.part_words) + list_bytes(problem, lookups, tile) > shared_limit) continue;
            costs.emplace_back(cost(problem, precision, lookups, tile, layout, shared_limit, multiprocessors), tile);
          }
        }
      }
    }
  }
  std::ranges::stable_sort(costs, std::less<>(), [](const auto& entry) { return entry.first; });
  std::vector<ClusterTile> tiles;
  for (const auto& [value, tile] : costs) {
    if (tiles.size() < kMostTiles) tiles.push_back(tile);
  }
  return tiles;
}

std::string cluster_source(const LookupProblem& problem, Precision precision, const ClusterTile& tile) {
  const Conv2dProblem& conv = problem.conv;
  const ClusterLayout layout(problem, precision, tile);
  std::string source = std::string(kDictionaryTileSource) + kLookupPairsSource;
  write_constants(SourceOut(source), precision,
                  {{"CLUSTER", tile.cluster}, {"PIXELS", tile.pixels}, {"CHANNEL_GROUPS", tile.channel_groups}, {"LOADS", tile.loads},
                   {"SPLIT", tile.split}, {"VECTOR", layout.vector}, {"WARP_ENTRY_TILES", layout.warp_entry_tiles},
                   {"POSITION_TILES", layout.position_tiles}, {"SLOT_WARPS", layout.slot_warps}, {"THREADS", layout.threads},
                   {"TILE_WORDS", layout.tile_words}, {"PART_WORDS", layout.part_words}, {"PITCH", layout.places.pitch},
                   {"LEAD", layout.places.lead}, {"BLOCK_CHANNELS", layout.places.block_channels}, {"DICTIONARY", problem.dictionary_size},
                   {"IN_CHANNELS", conv.in_channels}, {"HEIGHT", conv.height}, {"WIDTH", conv.width}, {"OUT_CHANNELS", conv.out_channels},
                   {"OUT_HEIGHT", conv.out_height()}, {"OUT_WIDTH", conv.out_width()}, {"STRIDE_H", conv.stride[0]},
                   {"STRIDE_W", conv.stride[1]}, {"PADDING_H", conv.padding[0]}});
  return source + kClusterKernelSource;
}

}  // namespace lcnn::cuda
