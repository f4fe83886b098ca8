#include "kernels/cuda/filter_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/source_parts.h"

namespace lcnn::cuda {
namespace {

constexpr int kMostSums = 64;  // S values that a thread holds

int entries_of(const LookupProblem& problem) { return static_cast<int>(problem.dictionary_size * problem.conv.kernel[1]); }

// What a tile is expected to cost, in cycles. From bytes: X from the L2, Y to memory at a multiprocessor's share of the
// bandwidth, X through the L1 once a kernel row; blocks that share a multiprocessor share these. The rest was fitted to 32
// tiles measured on an H100 (seed layer, fp16): few warps do not hide latency, and rows of a tile that begin or end within
// a sector of 32 bytes are written slowly.
double cost(const LookupProblem& problem, Precision precision, const FilterTile& tile, const FilterLayout& layout,
            int shared_limit, int multiprocessors) {
  constexpr double kMemory = 13, kL2 = 24, kL1 = 128;  // bytes a cycle and multiprocessor
  constexpr double kRound = 6000, kPartialSectors = 1.4, kWarps = 16, kWarpsExponent = 0.8;
  constexpr int kRegisters = 128;  // of a thread
  const Conv2dProblem& conv = problem.conv;
  const auto bytes = static_cast<double>(element_bytes(precision));
  const double input_rows = static_cast<double>((tile.rows - 1) * conv.stride[0] + (conv.kernel[0] - 1) * conv.dilation[0] + 1);
  const double row_bytes = layout.x_columns * static_cast<double>(conv.in_channels) * bytes;
  const double loads = static_cast<double>(tile.rows * conv.kernel[0]) * row_bytes * 16.0 / (tile.vector * bytes);
  const double output = static_cast<double>(tile.rows) * tile.columns * static_cast<double>(conv.out_channels) * bytes;
  const bool whole_sectors = layout.grid_x == 1 || tile.columns * element_bytes(precision) % 32 == 0;
  const double idle_lanes = static_cast<double>(layout.slot_threads) * tile.pixels / (tile.rows * tile.columns);
  const double stores = idle_lanes * std::max(1.0, 4.0 / (tile.pixels * bytes)) * (whole_sectors ? 1.0 : kPartialSectors) * output;

  const int resident = std::max(1, std::min({65536 / (layout.threads * kRegisters), shared_limit / layout.shared_bytes, 2048 / layout.threads}));
  const double blocks = static_cast<double>(layout.grid_x) * layout.grid_y * layout.grid_z;
  const double rounds = std::ceil(blocks / (static_cast<double>(multiprocessors) * resident));
  const double sharing = std::min<double>(resident, std::ceil(blocks / multiprocessors));
  const double busy = std::min(1.0, std::pow(sharing * layout.threads / 32 / kWarps, kWarpsExponent));
  return rounds * (kRound + sharing * (input_rows * row_bytes / kL2 + loads / kL1 + stores / kMemory) / busy);
}

// y of one output channel from S in registers.
void write_channel(SourceOut out, const LookupWeights& weights, int channel) {
  const std::string bias = weights.bias.empty() ? "0.0f" : fmt::format("{:a}f", weights.bias[channel]);
  std::string sum = bias;
  for (std::int32_t i = weights.lookups.row_offsets[channel]; i < weights.lookups.row_offsets[channel + 1]; ++i) {
    sum = fmt::format("fmaf({:a}f,s[{}][p],{})", weights.lookups.coefficients[i], weights.lookups.indices[i], sum);
  }
  fmt::format_to(out, "{{Pixels v;for(int p=0;p<PIXELS;++p)v[p]={};put(out+{}ll*kOutPlane,v);}}\n", sum, channel);
}

}  // namespace

FilterLayout::FilterLayout(const LookupProblem& problem, Precision precision, const FilterTile& tile) {
  const Conv2dProblem& conv = problem.conv;
  const auto padding = static_cast<int>(conv.padding[1]), stride = static_cast<int>(conv.stride[1]);
  grid_x = divide_up(conv.out_width(), tile.columns);
  grid_y = divide_up(conv.out_height(), tile.rows);
  grid_z = static_cast<int>(conv.batch);
  const int span = static_cast<int>((tile.columns - 1) * stride + (conv.kernel[1] - 1) * conv.dilation[1] + 1);
  // Tiles that all begin at the same place of a vector need less than the most.
  const bool aligned = grid_x == 1 || tile.columns * stride % tile.vector == 0;
  const int before = aligned ? (tile.vector - padding % tile.vector) % tile.vector : tile.vector - 1;
  x_columns = divide_up(before + span, tile.vector) * tile.vector;
  const int entry_tiles = divide_up(entries_of(problem), 16);
  warp_entry_tiles = 1;
  while (warp_entry_tiles * 2 <= most_entry_tiles(precision, tile.vector) && warp_entry_tiles < entry_tiles) warp_entry_tiles *= 2;
  entry_passes = divide_up(entry_tiles, warp_entry_tiles);
  warp_tiles = divide_up(tile.rows * (x_columns / tile.vector), 8) * entry_passes;
  slot_threads = divide_up(tile.rows * tile.columns / tile.pixels, 32) * 32;
  threads = slot_threads * tile.channel_blocks;
  shared_bytes = divide_up(static_cast<std::int64_t>(entries_of(problem)) * tile.rows * x_columns, 4) * 16;
}

std::string why_not_filter(const LookupProblem& problem) {
  if (problem.granularity != Granularity::filter && problem.conv.taps() != 1) {
    return "only dictionaries of filters, or 1x1 kernels, are supported";
  }
  if (problem.conv.groups != 1) return "groups are not supported";
  if (problem.dictionary_size > kMostSums) {
    return fmt::format("dictionaries of more than {} entries are not supported", kMostSums);
  }
  if (problem.conv.batch > 65535) return "batches of more than 65535 are not supported";
  return {};
}

std::vector<FilterTile> filter_tiles(const LookupProblem& problem, Precision precision, int shared_limit, int multiprocessors) {
  const Conv2dProblem& conv = problem.conv;
  const auto out_width = static_cast<int>(conv.out_width()), out_height = static_cast<int>(conv.out_height());
  const int vector = widest_vector(conv.width, precision);
  std::vector<std::pair<double, FilterTile>> costs;
  for (const int pixels : {1, 2}) {  // 4 was slower in every pair of tiles measured: its reads of Z conflict
    if (out_width % pixels != 0 || problem.dictionary_size * pixels > kMostSums) continue;
    for (int parts = 1; parts <= out_width; ++parts) {
      const int columns = divide_up(divide_up(out_width, parts), 8) * 8;
      if (parts > 1 && columns == divide_up(divide_up(out_width, parts - 1), 8) * 8) continue;
      for (int rows = 1; rows <= std::min(out_height, 16); ++rows) {
        for (const int channel_blocks : {1, 2, 4}) {
          const FilterTile tile{.rows = rows, .columns = columns, .pixels = pixels, .channel_blocks = channel_blocks, .vector = vector};
          const FilterLayout layout(problem, precision, tile);
          if (layout.shared_bytes > shared_limit || layout.threads < 128 || layout.threads > 512) continue;
          costs.emplace_back(cost(problem, precision, tile, layout, shared_limit, multiprocessors), tile);
        }
      }
    }
  }
  return cheapest_tiles(std::move(costs));
}

std::vector<std::uint32_t> pack_filter_dictionary(const LookupProblem& problem, std::span<const float> dictionary, Precision precision) {
  const std::int64_t channels = problem.conv.in_channels, kernel_h = problem.conv.kernel[0], kernel_w = problem.conv.kernel[1];
  const Conv2dProblem matrix{.in_channels = channels, .out_channels = entries_of(problem)};
  std::vector<std::uint32_t> packed;
  for (std::int64_t r = 0; r < kernel_h; ++r) {
    std::vector<float> rows(matrix.out_channels * channels);
    for (std::int64_t row = 0; row < matrix.out_channels; ++row) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t entry = row / kernel_w, s = row % kernel_w;
        rows[row * channels + c] = dictionary[((entry * channels + c) * kernel_h + r) * kernel_w + s];
      }
    }
    const std::vector<std::uint32_t> part = pack_dictionary(matrix, rows, precision);
    packed.insert(packed.end(), part.begin(), part.end());
  }
  return packed;
}

std::string filter_source(const LookupProblem& problem, const LookupWeights& weights, Precision precision, const FilterTile& tile) {
  const Conv2dProblem& conv = problem.conv;
  const FilterLayout layout(problem, precision, tile);
  std::string source = kDictionaryTileSource;
  const SourceOut out(source);
  write_constants(out, precision,
                  {{"ROWS", tile.rows}, {"COLUMNS", tile.columns}, {"PIXELS", tile.pixels}, {"VECTOR", tile.vector},
                   {"X_COLUMNS", layout.x_columns}, {"WARP_ENTRY_TILES", layout.warp_entry_tiles},
                   {"ENTRY_PASSES", layout.entry_passes}, {"WARP_TILES", layout.warp_tiles},
                   {"SLOT_THREADS", layout.slot_threads}, {"THREADS", layout.threads}, {"DICTIONARY", problem.dictionary_size},
                   {"IN_CHANNELS", conv.in_channels}, {"HEIGHT", conv.height},
                   {"WIDTH", conv.width}, {"OUT_CHANNELS", conv.out_channels}, {"OUT_HEIGHT", conv.out_height()},
                   {"OUT_WIDTH", conv.out_width()}, {"KERNEL_H", conv.kernel[0]}, {"KERNEL_W", conv.kernel[1]},
                   {"STRIDE_H", conv.stride[0]}, {"STRIDE_W", conv.stride[1]}, {"PADDING_H", conv.padding[0]},
                   {"PADDING_W", conv.padding[1]}, {"DILATION_H", conv.dilation[0]}, {"DILATION_W", conv.dilation[1]}});
  source += kFilterKernelSource;
  source += "__device__ __forceinline__ void write_channels(int block, const float (&s)[DICTIONARY][PIXELS], Element* out) {\n  switch (block) {\n";
  const int block_channels = divide_up(conv.out_channels, tile.channel_blocks);
  for (int block = 0; block < tile.channel_blocks; ++block) {
    fmt::format_to(out, "  case {}:\n", block);
    const int last = std::min<int>((block + 1) * block_channels, static_cast<int>(conv.out_channels));
    for (int channel = block * block_channels; channel < last; ++channel) write_channel(out, weights, channel);
    source += "  break;\n";
  }
  source += "  }\n}\n";
  return source;
}

}  // namespace lcnn::cuda
