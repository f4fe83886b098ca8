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
  constexpr double kMemory = 13, kExchange = 14, kLatency = 1200, kStart = 4000, kStep = 60;
  const Conv2dProblem& conv = problem.conv;
  const double warps = layout.threads / 32.0, bytes = static_cast<double>(element_bytes(precision));
  const double plane = static_cast<double>(conv.height * conv.width);
  const double load = plane * static_cast<double>(conv.in_channels) * bytes / (kMemory * std::min(tile.cluster, 3)) + kLatency;
  const double steps = divide_up(conv.in_channels, step_channels(precision));
  const double form = steps * kStep * (1 + layout.warp_entry_tiles * tile.loads * layout.vector / 4.0);
  const double share = layout.block_entry_tiles * 16 * plane * 4 * (tile.cluster - 1) / kExchange;
  const double channel_lookups = static_cast<double>(lookups) / static_cast<double>(conv.out_channels);
  const double gather = layout.slot_warps * layout.places.block_channels * (channel_lookups * (2.25 + 2.0 * tile.pixels) + 20) / 4;
  const double output = static_cast<double>(conv.out_height() * conv.out_width()) * layout.places.block_channels * bytes / kMemory;
  const double shared = 16.0 * (layout.tile_words + layout.ring_words) + list_bytes(problem, lookups, tile);
  const int resident = std::max(1, std::min({static_cast<int>(shared_limit / shared), 2048 / layout.threads, 65536 / (layout.threads * kRegisters)}));
  const double slots = static_cast<double>(clusters_at_once(tile.cluster, multiprocessors)) * resident;
  const double rounds = std::ceil(static_cast<double>(conv.batch) / slots);
  const double sharing = std::min<double>(resident, std::ceil(static_cast<double>(conv.batch) * tile.cluster / multiprocessors));
  const double busy = std::min(1.0, sharing * warps / 12);
  const double chunks = divide_up(conv.in_channels, tile.chunk), waits = std::max(0.0, chunks - tile.stages) * kLatency / tile.stages;
  return rounds * (kStart + std::max(load, form) + waits + sharing * (share + gather / busy + output));
}

// The threads that a block has anyway must be enough for a warp a tile of positions and entries.
bool warps_suffice(const ClusterLayout& layout) {
  return layout.position_tiles * divide_up(layout.block_entry_tiles, layout.warp_entry_tiles) <= layout.threads / 32;
}

}  // namespace

ClusterLayout::ClusterLayout(const LookupProblem& problem, Precision precision, const ClusterTile& tile) {
  const Conv2dProblem& conv = problem.conv;
  const std::int64_t plane = conv.height * conv.width;
  const int row_groups = divide_up(conv.out_height(), tile.pixels);
  slot_warps = divide_up(row_groups * conv.out_width(), 32);
  threads = slot_warps * 32 * tile.channel_groups;
  vector = widest_vector(conv.width, precision);
  position_tiles = divide_up(plane, 8 * tile.loads * vector);
  block_entry_tiles = divide_up(divide_up(problem.dictionary_size, 16), tile.cluster);
  warp_entry_tiles = 1;
  while (!warps_suffice(*this) && warp_entry_tiles * 2 <= most_entry_tiles(precision, tile.loads * vector)) warp_entry_tiles *= 2;
  const auto lead = static_cast<int>(conv.padding[1]), pitch = static_cast<int>(conv.width) + lead;
  const std::int64_t rows = std::max((row_groups * tile.pixels - 1) * conv.stride[0] + (conv.kernel[0] - 1) * conv.dilation[0] + 1,
                                     conv.height + 2 * conv.padding[0]);
  tile_words = divide_up(rows * problem.dictionary_size * pitch + lead, 4);
  const int terms = precision == Precision::fp32 ? 2 : 1;
  stage_words = static_cast<int>(tile.chunk * plane * element_bytes(precision) / 16) +
                tile.chunk / step_channels(precision) * block_entry_tiles * terms * 32;
  ring_words = tile.stages * (1 + stage_words);
  places = {.element_bytes = 4, .pitch = pitch, .lead = lead, .entries = static_cast<int>(problem.dictionary_size), .parts = 1,
            .block_channels = divide_up(conv.out_channels, tile.cluster), .blocks = tile.cluster};
}

std::vector<ClusterTile> cluster_tiles(const LookupProblem& problem, Precision precision, std::int64_t lookups, int shared_limit,
                                       int multiprocessors) {
  const Conv2dProblem& conv = problem.conv;
  const std::int64_t channel_bytes = conv.height * conv.width * element_bytes(precision);
  // Bulk copies take multiples of 16 bytes; a barrier counts less than 2^20.
  if (conv.batch > 65535 || conv.in_channels * channel_bytes % 16 != 0) return {};
  const int vector = widest_vector(conv.width, precision), step = step_channels(precision);
  std::vector<std::pair<double, ClusterTile>> costs;
  const auto consider = [&](const ClusterTile& tile) {
    const ClusterLayout layout(problem, precision, tile);
    if (layout.threads < 128 || layout.threads > 512 || !warps_suffice(layout)) return;
    if (16.0 * (layout.tile_words + layout.ring_words) + list_bytes(problem, lookups, tile) > shared_limit) return;
    costs.emplace_back(cost(problem, precision, lookups, tile, layout, shared_limit, multiprocessors), tile);
  };
  for (const int cluster : {1, 2, 4, 8}) {
    for (const int chunk : {16, 32, 64}) {
      if (chunk % cluster != 0 || chunk % step != 0 || chunk / cluster * channel_bytes % 16 != 0) continue;
      if (chunk > 16 && chunk >= 2 * conv.in_channels) continue;
      for (const int stages : {1, 2, 4, 8}) {
        if (stages > 1 && stages / 2 * chunk >= conv.in_channels) break;
        for (const int pixels : {1, 2, 4, 7, 8, 14}) {
          if (pixels > conv.out_height()) break;
          for (const int channel_groups : {1, 2, 4, 8, 16}) {
            for (const int loads : {1, 2, 4}) {
              if (loads * vector > 8) break;
              consider({.cluster = cluster, .pixels = pixels, .channel_groups = channel_groups, .loads = loads, .chunk = chunk, .stages = stages});
            }
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
  std::string source = std::string(kDictionaryTileSource) + kLookupPairsSource + kClusterMemorySource;
  write_constants(SourceOut(source), precision,
                  {{"CLUSTER", tile.cluster}, {"PIXELS", tile.pixels}, {"CHANNEL_GROUPS", tile.channel_groups}, {"LOADS", tile.loads},
                   {"CHUNK", tile.chunk}, {"STAGES", tile.stages}, {"VECTOR", layout.vector},
                   {"BLOCK_ENTRY_TILES", layout.block_entry_tiles}, {"WARP_ENTRY_TILES", layout.warp_entry_tiles},
                   {"POSITION_TILES", layout.position_tiles}, {"SLOT_WARPS", layout.slot_warps}, {"THREADS", layout.threads},
                   {"TILE_WORDS", layout.tile_words}, {"STAGE_WORDS", layout.stage_words}, {"PITCH", layout.places.pitch},
                   {"LEAD", layout.places.lead}, {"BLOCK_CHANNELS", layout.places.block_channels}, {"DICTIONARY", problem.dictionary_size},
                   {"IN_CHANNELS", conv.in_channels}, {"HEIGHT", conv.height}, {"WIDTH", conv.width}, {"OUT_CHANNELS", conv.out_channels},
                   {"OUT_HEIGHT", conv.out_height()}, {"OUT_WIDTH", conv.out_width()}, {"STRIDE_H", conv.stride[0]},
                   {"STRIDE_W", conv.stride[1]}, {"PADDING_H", conv.padding[0]}});
  return source + kClusterKernelSource;
}

}  // namespace lcnn::cuda
