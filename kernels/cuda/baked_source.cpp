#include "kernels/cuda/baked_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/padded_layout.h"
#include "kernels/cuda/source_parts.h"

namespace lcnn::cuda {
namespace {

// Lookups of one channel block and dictionary chunk, grouped by where in S they look: (entry, r) -> [(k, s, coefficient)].
struct Lookup {
  int channel, column;
  float coefficient;
};
using ByPlace = std::map<std::pair<int, int>, std::vector<Lookup>>;

ByPlace lookups_of(const LookupTable& table, const BakedTile& tile, int channel_block, int chunk) {
  ByPlace places;
  const auto kernel_h = static_cast<int>(table.kernel[0]), kernel_w = static_cast<int>(table.kernel[1]);
  const int first = channel_block * tile.channels;
  const int last = std::min<int>(first + tile.channels, static_cast<int>(table.out_channels));
  for (int k = first; k < last; ++k) {
    for (int r = 0; r < kernel_h; ++r) {
      for (int s = 0; s < kernel_w; ++s) {
        const int row = (k * kernel_h + r) * kernel_w + s;
        for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
          const auto entry = static_cast<int>(table.indices[i]);
          if (entry / tile.entries != chunk) continue;
          places[{entry % tile.entries, r}].push_back({k - first, s, table.coefficients[i]});
        }
      }
    }
  }
  return places;
}

// Straight-line code: each S value is loaded once for all output channels of the block that look it up.
void write_gather(SourceOut out, const Conv2dProblem& stage, const BakedTile& tile, const BakedLayout& layout,
                  const ByPlace& places) {
  const auto dilation_h = static_cast<int>(stage.dilation[0]), dilation_w = static_cast<int>(stage.dilation[1]);
  const int first_column = layout.lead - static_cast<int>(stage.padding[1]);
  for (const auto& [place, lookups] : places) {
    const auto [entry, r] = place;
    const int base = (r * dilation_h * tile.entries + entry) * layout.pitch;
    std::set<int> columns;  // of the values needed, rounded down to what is loaded at once
    for (const Lookup& lookup : lookups) {
      for (int p = 0; p < tile.pixels; ++p) columns.insert((first_column + lookup.column * dilation_w + p) / tile.pixels * tile.pixels);
    }
    fmt::format_to(out, "{{");
    for (const int column : columns) {
      if (tile.pixels == 1) fmt::format_to(out, "const float v{}=s_value(pixel[{}]);", column, base + column);
      else fmt::format_to(out, "const float2 w{0}=s_pair(pixel+{1});const float v{0}=w{0}.x,v{2}=w{0}.y;", column, base + column,
                          column + 1);
    }
    for (const Lookup& lookup : lookups) {
      for (int p = 0; p < tile.pixels; ++p) {
        fmt::format_to(out, "a[{0}][{1}]=fmaf({2:a}f,v{3},a[{0}][{1}]);", lookup.channel, p, lookup.coefficient,
                       first_column + lookup.column * dilation_w + p);
      }
    }
    fmt::format_to(out, "}}\n");
  }
}

// Entry tiles of 16 that a warp of a fused kernel sums at once, within what its registers hold.
int warp_entry_tiles(const BakedTile& tile, Precision precision) {
  int tiles = 1;
  while (tiles * 2 <= most_entry_tiles(precision, tile.vector) && tiles * 16 < tile.entries) tiles *= 2;
  return tiles;
}

void write_layer_constants(SourceOut out, const LookupProblem& problem, Precision precision, const BakedTile& tile,
                     const BakedLayout& layout) {
  const Conv2dProblem stage = problem.lookup_stage();
  write_constants(out, precision, {
      {"FUSED", tile.fused ? 1 : 0}, {"VECTOR", tile.vector}, {"WARP_ENTRY_TILES", warp_entry_tiles(tile, precision)},
      {"IN_CHANNELS", problem.conv.in_channels}, {"THREADS", layout.threads}, {"SLOTS", layout.slots},
      {"SLOT_WARPS", layout.slot_warps}, {"IMAGES", tile.images}, {"ROWS", tile.rows}, {"PIXELS", tile.pixels},
      {"CHANNELS", tile.channels}, {"CHANNEL_BLOCKS", tile.channel_blocks}, {"CHUNKS", layout.chunks}, {"ENTRIES", tile.entries},
      {"S_ROWS", layout.s_rows}, {"IMAGE_ROWS", layout.image_rows},
      {"PADDED_ROWS", stage.batch * layout.image_rows + stage.padding[0]}, {"PITCH", layout.pitch}, {"LEAD", layout.lead},
      {"SHARED_WORDS", layout.shared_bytes / 16}, {"DICTIONARY", stage.in_channels}, {"S_HEIGHT", stage.height},
      {"S_WIDTH", stage.width}, {"BATCH", stage.batch}, {"OUT_CHANNELS", stage.out_channels},
      {"OUT_HEIGHT", stage.out_height()}, {"OUT_WIDTH", stage.out_width()}, {"STRIDE_H", stage.stride[0]},
      {"STRIDE_W", stage.stride[1]}, {"PADDING_H", stage.padding[0]}});
}

}  // namespace

BakedLayout::BakedLayout(const Conv2dProblem& stage, Precision precision, const BakedTile& tile) {
  s_rows = static_cast<int>((tile.rows - 1) * stage.stride[0] + (stage.kernel[0] - 1) * stage.dilation[0] + 1);
  std::int64_t s_bytes = 4;  // of an element in shared memory
  if (tile.fused) {
    // Rows begin where the vectors that fill them, and the pairs that are read from them, are aligned.
    const int alignment = std::max(std::min(tile.vector, 4), tile.pixels);
    image_rows = s_rows;
    lead = divide_up(stage.padding[1], alignment) * alignment;
    pitch = divide_up(stage.width + lead, alignment) * alignment;
  } else {
    const PaddedLayout padded(stage, precision);
    s_bytes = padded.element_bytes;
    image_rows = padded.image_rows;
    lead = padded.lead;
    pitch = padded.pitch;
  }
  slots = static_cast<int>(tile.images * tile.rows * stage.out_width() / tile.pixels);
  slot_warps = divide_up(slots, 32);
  threads = slot_warps * 32 * tile.channel_blocks;
  chunks = divide_up(stage.in_channels, tile.entries);
  grid_x = divide_up(stage.out_height(), tile.rows);
  grid_y = divide_up(stage.out_channels, tile.channels * tile.channel_blocks);
  grid_z = divide_up(stage.batch, tile.images);
  const std::int64_t rows = static_cast<std::int64_t>(tile.images - 1) * image_rows + s_rows;
  shared_bytes = divide_up((rows * tile.entries * pitch + lead) * s_bytes, 16) * 16;
}

namespace {

// Positions of X a lane of a fused kernel loads at once: as many as divide a row and fill 16 bytes, but few enough that at
// least every other warp has a tile.
int vector_for(const Conv2dProblem& stage, Precision precision, const BakedTile& tile, const BakedLayout& layout) {
  if (!tile.fused) return 1;
  int vector = widest_vector(stage.width, precision);
  const std::int64_t positions = static_cast<std::int64_t>(layout.s_rows) * stage.width * tile.images;
  while (vector > 1 && 2 * positions < static_cast<std::int64_t>(vector) * 8 * (layout.threads / 32)) vector /= 2;
  return vector;
}

// What fits tiles measured on an H100 (ResNet-18 blocks, n32, fp16; 63 gathers within 18%, 62 fused tiles within 47%).
struct CostConstants {
  double code, load, narrow_store, warps, warps_exponent, round;
};
constexpr CostConstants kGatherCost{.code = 1.9, .load = 1.0, .narrow_store = 1.5, .warps = 22, .warps_exponent = 0.73, .round = 1900};
constexpr CostConstants kFusedCost{.code = 5.7, .load = 0.4, .narrow_store = 1.1, .warps = 12, .warps_exponent = 0.38, .round = 0};

// What a tile is expected to cost, in cycles: code that is fetched once a block, loads of S or arithmetic of all its warps,
// filling the tile, writing Y to memory at a multiprocessor's share of the bandwidth. Blocks that share a multiprocessor
// share these; few warps do not hide latency.
double cost(const LookupProblem& problem, Precision precision, const BakedTile& tile, const BakedLayout& layout,
            int shared_limit, int multiprocessors) {
  constexpr double kMemory = 13, kL2 = 24;  // bytes a cycle and multiprocessor
  const CostConstants& fitted = tile.fused ? kFusedCost : kGatherCost;
  const Conv2dProblem stage = problem.lookup_stage();
  const auto bytes = static_cast<double>(element_bytes(precision));
  const int registers = tile.channels * tile.pixels + 40;  // the sums and what else a thread holds
  const int resident = std::min({65536 / (layout.threads * registers), shared_limit / layout.shared_bytes, 2048 / layout.threads});
  if (resident < 1) return std::numeric_limits<double>::infinity();
  const double blocks = static_cast<double>(layout.grid_x) * layout.grid_y * layout.grid_z;
  const double rounds = std::ceil(blocks / (static_cast<double>(resident) * multiprocessors));
  const double sharing = std::min<double>(resident, std::ceil(blocks / multiprocessors));

  // Of the values at an entry's taps, those that some channel of the block looks up, if lookups were one a tap at random.
  const auto entries = static_cast<double>(stage.in_channels);
  const double used = 1 - std::pow(1 - 1 / entries, tile.channels);
  const double columns = static_cast<double>(tile.pixels == 1 ? stage.kernel[1] : stage.kernel[1] / 2 + 1);
  const double loads = entries * static_cast<double>(stage.kernel[0]) * columns * std::min(1.0, used * (tile.pixels == 1 ? 1.0 : 1.5));
  const double arithmetic = static_cast<double>(stage.taps()) * tile.channels * tile.pixels;
  const double warps = static_cast<double>(layout.slot_warps) * tile.channel_blocks;
  const double gather = warps * std::max(loads * tile.pixels * fitted.load, arithmetic / 4);
  const double code = (loads + arithmetic) * tile.channel_blocks * fitted.code;

  const double positions = static_cast<double>(tile.images) * std::min<double>(layout.s_rows, static_cast<double>(stage.height)) *
                           static_cast<double>(stage.width);
  const double fill = tile.fused ? 0.27 * static_cast<double>(problem.conv.in_channels) * positions / std::pow(tile.vector, 0.4) * bytes / 2
                                 : static_cast<double>(layout.shared_bytes) * layout.chunks / kL2;
  const double output = static_cast<double>(tile.images * tile.rows) * static_cast<double>(stage.out_width()) * tile.channels *
                        tile.channel_blocks * bytes * (tile.pixels * bytes < 4 ? fitted.narrow_store : 1.0);
  const double busy = std::min(1.0, std::pow(sharing * layout.threads / 32 / fitted.warps, fitted.warps_exponent));
  return rounds * (fitted.round + sharing * (fill + gather + output / kMemory) / busy + code);
}

}  // namespace

std::vector<BakedTile> baked_tiles(const LookupProblem& problem, Precision precision, bool fused, int shared_limit,
                                   int multiprocessors) {
  const Conv2dProblem stage = problem.lookup_stage();
  const bool pairs = stage.stride[1] == 1 && stage.out_width() % 2 == 0 && stage.width % 2 == 0;
  const auto out_h = static_cast<int>(stage.out_height());
  std::vector<std::pair<double, BakedTile>> costs;
  const auto add = [&](BakedTile tile) {
    tile.vector = vector_for(stage, precision, tile, BakedLayout(stage, precision, tile));
    BakedLayout layout(stage, precision, tile);
    while (layout.shared_bytes > shared_limit / 2 && tile.entries > 16) {
      tile.entries = (tile.entries / 2 + 15) / 16 * 16;  // whole tiles of the matrix units
      layout = BakedLayout(stage, precision, tile);
    }
    if (layout.shared_bytes > shared_limit || layout.threads > 512 || layout.threads < 64) return;
    const double value = cost(problem, precision, tile, layout, shared_limit, multiprocessors);
    if (std::isfinite(value)) costs.emplace_back(value, tile);
  };
  for (const int pixels : pairs ? std::vector<int>{1, 2} : std::vector<int>{1}) {
    for (const int channels : {16, 32, 64}) {
      if (channels * pixels > 128) continue;
      for (int channel_blocks = 1; channel_blocks <= 8; channel_blocks *= 2) {
        if (channel_blocks > 1 && channels * channel_blocks / 2 >= stage.out_channels) continue;
        for (int rows = 1; rows <= out_h; ++rows) {
          const int most_images = rows == out_h ? static_cast<int>(std::min<std::int64_t>(stage.batch, 32)) : 1;
          for (int images = 1; images <= most_images; images *= 2) {
            add({.images = images, .rows = rows, .pixels = pixels, .channels = channels, .channel_blocks = channel_blocks,
                 .entries = static_cast<int>(stage.in_channels), .fused = fused});
          }
        }
      }
    }
  }
  return cheapest_tiles(std::move(costs));
}

std::string baked_source(const LookupProblem& problem, const LookupWeights& weights, Precision precision,
                         const BakedTile& tile) {
  const Conv2dProblem stage = problem.lookup_stage();
  const BakedLayout layout(stage, precision, tile);
  const int channel_blocks = divide_up(stage.out_channels, tile.channels);
  std::string source = kDictionaryTileSource;
  const SourceOut out(source);
  write_layer_constants(out, problem, precision, tile, layout);

  if (!tile.fused) source += std::string(kLookupPairsSource) + kPaddedTileSource;
  source += kBakedKernelSource;

  source += "__device__ __forceinline__ void set_bias(int channel_block, Sums& a) {\n";
  source += "  for (int k = 0; k < CHANNELS; ++k) for (int p = 0; p < PIXELS; ++p) a[k][p] = 0.0f;\n";
  if (!weights.bias.empty()) {
    source += "  switch (channel_block) {\n";
    for (int block = 0; block < channel_blocks; ++block) {
      fmt::format_to(out, "  case {}:\n", block);
      const int last = std::min(tile.channels, static_cast<int>(stage.out_channels) - block * tile.channels);
      for (int k = 0; k < last; ++k) {
        for (int p = 0; p < tile.pixels; ++p) fmt::format_to(out, "a[{}][{}]={:a}f;", k, p, weights.bias[block * tile.channels + k]);
      }
      source += "break;\n";
    }
    source += "  }\n";
  }
  source += "}\n";

  fmt::format_to(out, "__device__ __forceinline__ void gather(int chunk, int channel_block, const S* pixel, Sums& a) {{\n"
                      "  switch (chunk * {} + channel_block) {{\n", channel_blocks);
  for (int chunk = 0; chunk < layout.chunks; ++chunk) {
    for (int block = 0; block < channel_blocks; ++block) {
      fmt::format_to(out, "  case {}:\n", chunk * channel_blocks + block);
      write_gather(out, stage, tile, layout, lookups_of(weights.lookups, tile, block, chunk));
      source += "  break;\n";
    }
  }
  return source + "  }\n}\n";
}

}  // namespace lcnn::cuda
