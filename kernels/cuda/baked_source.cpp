#include "kernels/cuda/baked_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "kernels/cuda/device_sources.h"
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
    const int base = entry * tile.images * layout.plane + r * dilation_h * layout.pitch;
    std::set<int> columns;  // of the values needed, rounded down to what is loaded at once
    for (const Lookup& lookup : lookups) {
      for (int p = 0; p < tile.pixels; ++p) columns.insert((first_column + lookup.column * dilation_w + p) / tile.pixels * tile.pixels);
    }
    fmt::format_to(out, "{{");
    for (const int column : columns) {
      if (tile.pixels == 1) fmt::format_to(out, "const float v{}=pixel[{}];", column, base + column);
      else fmt::format_to(out, "const float2 w{0}=*(const float2*)(pixel+{1});const float v{0}=w{0}.x,v{2}=w{0}.y;", column,
                          base + column, column + 1);
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
      {"CHANNELS", tile.channels}, {"CHANNEL_BLOCKS", tile.channel_blocks}, {"ENTRIES", tile.entries},
      {"S_ROWS", layout.s_rows}, {"PITCH", layout.pitch}, {"PLANE", layout.plane}, {"LEAD", layout.lead},
      {"TILE_FLOATS", layout.shared_bytes / 4}, {"DICTIONARY", stage.in_channels}, {"S_HEIGHT", stage.height},
      {"S_WIDTH", stage.width}, {"BATCH", stage.batch}, {"OUT_CHANNELS", stage.out_channels},
      {"OUT_HEIGHT", stage.out_height()}, {"OUT_WIDTH", stage.out_width()}, {"STRIDE_H", stage.stride[0]},
      {"STRIDE_W", stage.stride[1]}, {"PADDING_H", stage.padding[0]}});
}

}  // namespace

BakedLayout::BakedLayout(const Conv2dProblem& stage, const BakedTile& tile) {
  // Rows begin where the vectors that fill them, and the pairs that are read from them, are aligned.
  const int alignment = std::max(std::min(tile.vector, 4), tile.pixels);
  const auto aligned = [&](std::int64_t value) { return divide_up(value, alignment) * alignment; };
  s_rows = static_cast<int>((tile.rows - 1) * stage.stride[0] + (stage.kernel[0] - 1) * stage.dilation[0] + 1);
  lead = aligned(stage.padding[1]);
  pitch = aligned(stage.width + lead);
  plane = s_rows * pitch;
  // A thread is an image's pixel where images are packed: an odd distance keeps its loads off the same bank.
  if (alignment == 1 && tile.images > 1 && stage.out_height() * stage.out_width() == 1 && plane % 2 == 0) ++plane;
  slots = static_cast<int>(tile.images * tile.rows * stage.out_width() / tile.pixels);
  slot_warps = divide_up(slots, 32);
  threads = slot_warps * 32 * tile.channel_blocks;
  chunks = divide_up(stage.in_channels, tile.entries);
  grid_x = divide_up(stage.out_height(), tile.rows);
  grid_y = divide_up(stage.out_channels, tile.channels * tile.channel_blocks);
  grid_z = divide_up(stage.batch, tile.images);
  // The last row's right padding, and what a pair reads beyond it, lie behind the last plane.
  const std::int64_t floats = static_cast<std::int64_t>(tile.entries) * tile.images * plane + stage.padding[1] + 2;
  shared_bytes = divide_up(floats, 4) * 16;
}

namespace {

// Positions a lane loads at once: as many as divide a row and fill 16 bytes, but in a fused kernel few enough that at
// least every other warp has a tile.
int vector_for(const Conv2dProblem& stage, Precision precision, const BakedTile& tile, const BakedLayout& layout) {
  int vector = 1;
  for (const int wider : {2, 4, 8}) {
    if (wider * element_bytes(precision) > 16 || stage.width % wider != 0) break;
    const std::int64_t positions = static_cast<std::int64_t>(layout.s_rows) * stage.width * tile.images;
    if (tile.fused && 2 * positions < static_cast<std::int64_t>(wider) * 8 * (layout.threads / 32)) break;
    vector = wider;
  }
  return vector;
}

// How good a tile looks: lanes that compute, waves that are full, occupancy, against work that is done again.
double score(const LookupProblem& problem, const BakedTile& tile, const BakedLayout& layout, int shared_limit,
             int multiprocessors) {
  const Conv2dProblem stage = problem.lookup_stage();
  const int registers = tile.channels * tile.pixels + 40;  // the sums and what else a thread holds
  const int resident = std::min({65536 / (layout.threads * registers), shared_limit / layout.shared_bytes, 2048 / layout.threads});
  if (resident < 1) return 0.0;
  const double blocks = static_cast<double>(layout.grid_x) * layout.grid_y * layout.grid_z;
  const double waves = blocks / (static_cast<double>(resident) * multiprocessors);
  const double wave_efficiency = waves / std::max(1.0, std::ceil(waves));
  const double lanes = static_cast<double>(layout.slots) / (layout.slot_warps * 32) *
                       static_cast<double>(stage.out_height()) / (static_cast<double>(layout.grid_x) * tile.rows);
  const double halo = static_cast<double>(layout.s_rows) / static_cast<double>(tile.rows * stage.stride[0]);
  // Filling the tile against writing the output, in elements moved; a fused tile reads X and multiplies.
  const double inputs = static_cast<double>(tile.fused ? problem.conv.in_channels : stage.in_channels) *
                        static_cast<double>(stage.height * stage.width);
  const double outputs = static_cast<double>(stage.out_channels) * static_cast<double>(stage.out_height() * stage.out_width());
  const double refill = halo * layout.grid_y * inputs / outputs;
  const double occupancy = std::min(1.0, resident * layout.threads / 768.0);
  // Fused tiles were up to twice as slow with loads of two positions as with four (H100, ResNet-18 layers), and pairs of
  // pixels a thread won there, not in the gather from memory.
  const double loads = tile.fused ? std::min(1.0, 0.5 + tile.vector / 8.0) * (tile.pixels == 2 ? 1.2 : 1.0) : 1.0;
  return loads * lanes * wave_efficiency * occupancy / (1.0 + 0.5 * refill + 4.0 / (tile.channels * tile.pixels));
}

}  // namespace

std::vector<BakedTile> baked_tiles(const LookupProblem& problem, Precision precision, bool fused, int shared_limit,
                                   int multiprocessors) {
  const Conv2dProblem stage = problem.lookup_stage();
  const bool pairs = stage.stride[1] == 1 && stage.out_width() % 2 == 0 && stage.width % 2 == 0;
  const auto out_h = static_cast<int>(stage.out_height());
  std::vector<std::pair<double, BakedTile>> scored;
  const auto add = [&](BakedTile tile) {
    tile.vector = vector_for(stage, precision, tile, BakedLayout(stage, tile));
    BakedLayout layout(stage, tile);
    while (layout.shared_bytes > shared_limit / 2 && tile.entries > 16) {
      tile.entries = (tile.entries / 2 + 15) / 16 * 16;  // whole tiles of the matrix units
      layout = BakedLayout(stage, tile);
    }
    if (layout.shared_bytes > shared_limit || layout.threads > 512 || layout.threads < 64) return;
    if (const double value = score(problem, tile, layout, shared_limit, multiprocessors); value > 0) {
      scored.emplace_back(value, tile);
    }
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
  std::ranges::stable_sort(scored, std::greater<>(), [](const auto& entry) { return entry.first; });
  std::vector<BakedTile> tiles;
  for (const auto& [value, tile] : scored) tiles.push_back(tile);
  return tiles;
}

std::string baked_source(const LookupProblem& problem, const LookupWeights& weights, Precision precision,
                         const BakedTile& tile) {
  const Conv2dProblem stage = problem.lookup_stage();
  const BakedLayout layout(stage, tile);
  const int channel_blocks = divide_up(stage.out_channels, tile.channels);
  std::string source = kDictionaryTileSource;
  const SourceOut out(source);
  write_layer_constants(out, problem, precision, tile, layout);

  source += "__device__ __forceinline__ void set_bias(int block, float (&a)[CHANNELS][PIXELS]) {\n";
  source += "  for (int k = 0; k < CHANNELS; ++k) for (int p = 0; p < PIXELS; ++p) a[k][p] = 0.0f;\n";
  if (!weights.bias.empty()) {
    source += "  switch (block) {\n";
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

  std::string calls;
  for (int chunk = 0; chunk < layout.chunks; ++chunk) {
    fmt::format_to(out, "__device__ __forceinline__ void gather_{}(int block, const float* pixel, float (&a)[CHANNELS][PIXELS]) {{\n  switch (block) {{\n", chunk);
    for (int block = 0; block < channel_blocks; ++block) {
      fmt::format_to(out, "  case {}:\n", block);
      write_gather(out, stage, tile, layout, lookups_of(weights.lookups, tile, block, chunk));
      source += "  break;\n";
    }
    source += "  }\n}\n";
    fmt::format_to(std::back_inserter(calls), "__syncthreads(); FILL_TILE({}); __syncthreads(); gather_{}(channel_block, pixel, sums); ",
                   chunk * tile.entries, chunk);
  }
  fmt::format_to(out, "#define GATHER_ALL_CHUNKS {}\n", calls);
  return source + kBakedKernelSource;
}

}  // namespace lcnn::cuda
