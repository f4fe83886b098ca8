#include "kernels/cuda/wgmma_source.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/source_parts.h"
#include "kernels/cuda/wgmma_product.h"

namespace lcnn::cuda {
namespace {

constexpr std::size_t kMostTiles = 64;
constexpr int kTilePositions = 64;  // of a warpgroup's product, and that are stored at once
constexpr int kProductRows = 64;       // of a warpgroup's product whose rows are channels
constexpr int kMostBox = 256;       // positions or rows that a tiled copy takes
constexpr int kMostProduct = 256;   // columns of a warpgroup's product
constexpr int kMostSums = 128;      // of a thread

// Steps of P that a block of channels is expected to have: every tap of all entries, and those that a third lookup among four
// entries of sparse P adds where wgmma_order() finds none without, which is for about kSpread of each 16 entries' (counted on
// random lookups).
double expected_steps(const LookupProblem& problem, Precision precision, std::int64_t lookups, const WgmmaTile& tile) {
  const int entry_bytes = wgmma_entries(problem) * static_cast<int>(element_bytes(precision)), step_bytes = wgmma_step_entry_bytes(tile.sparse());
  const auto taps = static_cast<double>(problem.conv.taps());
  const double steps = taps * divide_up(entry_bytes, step_bytes);
  if (!tile.sparse()) return steps;
  const double density = static_cast<double>(lookups) / (static_cast<double>(problem.conv.out_channels * problem.dictionary_size) * taps);
  constexpr double kSpread = 6;
  const double drawn = 4 * std::pow(density, 3) * (1 - density) + std::pow(density, 4);
  const double third = std::max(0.0, drawn - kSpread / (4 * static_cast<double>(problem.conv.out_channels) * taps));
  const double fours = tile.block_channels * step_bytes / (4.0 * static_cast<double>(element_bytes(precision)));
  return steps * (2 - std::pow(1 - third, fours));
}

// Pieces of sparse P's products that cover so many positions: one, or several of whole rows or of 64 positions of one.
std::set<int> sparse_pieces(int covered, int pitch) {
  constexpr int kMostPieces = 8;
  std::set<int> pieces;
  for (int count = 1; count <= kMostPieces; ++count) {
    const int piece = round_up(divide_up(covered, count), count == 1 ? 8 : std::min(pitch, kTilePositions));
    if (piece / 2 <= kMostSums) pieces.insert(piece);
  }
  return pieces;
}

double expected_record_bytes(const LookupProblem& problem, Precision precision, std::int64_t lookups, const WgmmaTile& tile) {
  const double share = static_cast<double>(tile.block_channels) / static_cast<double>(problem.conv.out_channels);
  const double steps = expected_steps(problem, precision, lookups, tile);
  return static_cast<double>(lookups) * std::min(1.0, share) * (element_bytes(precision) == 2 ? 4 : 8) * 1.05 + steps * (tile.sparse() ? 5 + 4 * tile.block_channels : 5) +
         64;
}

// What a tile is expected to cost, in cycles, with `ring` of `slots` slots of P. Constants are fitted to 309 tiles timed on an H200,
// dense and sparse, 16 bits and tf32 (rms 0.10 of the logarithm, first choice 1.5% behind the best of those timed).
double cost(const LookupProblem& problem, Precision precision, std::int64_t lookups, const WgmmaTile& tile, const WgmmaLayout& layout, int slots, int ring,
            int shared_bytes, int shared_limit, int multiprocessors) {
  constexpr double kBegin = 3240, kFill = 33.5, kDrain = 9.1, kProducts = 0.54;                          // of a multiprocessor's blocks together
  constexpr double kLatency = 1950, kOwnFill = 37, kRefill = 1020, kWhole = 318, kForm = 0.86, kAhead = 0.83;  // of a block's X and S
  constexpr int kBuilders = 3;                                                                             // warps that write slots
  constexpr double kPass = 2300, kStore = 267, kStep = 97, kSlot = 536, kLookups = 207;                    // of its passes
  const Conv2dProblem& conv = problem.conv;
  const auto bytes = static_cast<double>(element_bytes(precision)), channels = static_cast<double>(conv.in_channels);
  const int resident = std::max(1, std::min(shared_limit / (shared_bytes + 1024), 2048 / layout.threads));
  const double units = static_cast<double>(layout.tiles) * layout.channel_blocks;
  const double blocks = std::min(units, static_cast<double>(multiprocessors) * resident);
  const double rounds = std::ceil(units / blocks), sharing = std::ceil(blocks / multiprocessors);

  const double input = (layout.input_rows * layout.pitch + (tile.stages > 0 ? layout.entries : 0)) * channels * bytes;
  const double output = static_cast<double>(tile.rows * tile.columns) * tile.block_channels * bytes;
  const double steps = expected_steps(problem, precision, lookups, tile);
  const double form = layout.input_tiles * (channels * bytes / kStepBytes) * std::max(layout.entries / 2.0, 16.0);
  // A step of a warpgroup's part on the matrix units; sparse operands come from shared memory no faster than 128 bytes a cycle.
  const double part_step = tile.sparse() ? tile.piece / 2.0 + 16 : tile.group_tiles * tile.block_channels / 2.0;
  const double look_up = layout.output_positions * steps / layout.part_positions * tile.block_channels / layout.part_channels * part_step;
  const double copies = sharing * (input / kFill + output / kDrain), products = sharing * (form + look_up) / kProducts;

  // A tile's stages one after the other, as a block alone has them; the next tile's X and S come meanwhile.
  const double slices = divide_up(conv.in_channels, slice_channels(precision));
  const double refill = tile.stages == 0 ? kWhole : std::max(0.0, slices - tile.stages) / tile.stages * kRefill;
  const double load = kLatency + input / kOwnFill + refill;
  const double passes = layout.passes(), tiles64 = layout.part_positions / 64.0;
  // A buffer of the ring is written again when the products of its slot are done, for dense P when those of the next have begun;
  // slots that the ring does not hold at first come no faster.
  const double slot_lookups = static_cast<double>(lookups) * tile.block_channels / static_cast<double>(conv.out_channels) / slots;
  const double rewrite = kSlot + kLookups * slot_lookups / 32, slot_products = layout.slot_steps * part_step * tile.output_groups / tile.sets;
  const double period = std::max(rewrite / kBuilders, tile.sparse() ? (rewrite + slot_products) / ring : rewrite / std::max(ring - 1, 1));
  const double build = ring >= slots ? 0 : passes * slots * period;
  const double late = std::max(0, slots - ring) * std::max(0.0, period - slot_products);
  const double pass = (tile.sparse() ? kPass : tile.group_tiles * kPass) / tile.sets + kStore * tiles64 * layout.part_channels / 64.0 / tile.sets +
                      steps * std::max(part_step * (tile.sparse() ? tile.output_groups / tile.sets : 1), kStep) + late;
  const double chain = load + form * kForm + passes * pass;
  const double following = std::max({copies, products, build, chain - load * (tile.entry_buffers > 1 ? 1 : kAhead)});
  return kBegin + std::max({copies, products, chain, build + load}) + (rounds - 1) * following;
}

}  // namespace

std::string tile_name(const WgmmaTile& tile) {
  return fmt::format("{}r{}c{}k{}w{}t{}x{}s{}b{}g{}p", tile.rows, tile.columns, tile.block_channels, tile.output_groups, tile.group_tiles, tile.chunk_rows,
                     tile.stages, tile.entry_buffers, tile.sets, tile.piece);
}

WgmmaLayout::WgmmaLayout(const LookupProblem& problem, Precision precision, const WgmmaTile& tile) {
  const Conv2dProblem& conv = problem.conv;
  const auto out_h = static_cast<int>(conv.out_height()), out_w = static_cast<int>(conv.out_width());
  const auto bytes = static_cast<int>(element_bytes(precision));
  const auto far_rows = static_cast<int>((conv.kernel[0] - 1) * conv.dilation[0]), far_columns = static_cast<int>((conv.kernel[1] - 1) * conv.dilation[1]);
  const bool whole_rows = tile.rows >= out_h, whole_columns = tile.columns >= out_w;
  // Zeros beside a row serve its neighbour, too, where a row is whole. 64 positions are whole rows, or of one row.
  pitch = static_cast<int>(whole_columns ? std::max(conv.width + conv.padding[1], conv.out_width()) : tile.columns + far_columns);
  pitch = pitch > kTilePositions ? round_up(pitch, kTilePositions) : static_cast<int>(std::bit_ceil(static_cast<unsigned>(std::max(pitch, 8))));
  input_rows = whole_rows ? static_cast<int>(conv.height) : tile.rows + far_rows;
  input_rows = round_up(input_rows, tile.chunk_rows);
  row_shift = whole_rows ? static_cast<int>(conv.padding[0]) : 0;
  entries = wgmma_entries(problem);
  input_tiles = divide_up(input_rows * pitch, kTilePositions);
  part_positions = tile.sparse() ? tile.piece : tile.group_tiles * kTilePositions;
  part_channels = tile.sparse() ? kProductRows : tile.block_channels;
  output_positions = round_up((tile.rows - 1) * pitch + tile.columns, tile.sparse() ? part_positions : kTilePositions);
  parts = divide_up(output_positions, part_positions);
  set_parts = tile.output_groups / tile.sets / (tile.block_channels / part_channels);
  const int farthest = far_rows * pitch + far_columns;
  positions = std::max(output_positions + farthest, (row_shift + input_rows) * pitch);
  form_tiles = std::min({4, input_tiles, std::max(1, kMostSums / (entries / 2)), std::max(1, tile.chunk_rows * pitch / kTilePositions)});
  const int slices = divide_up(conv.in_channels, slice_channels(precision));
  stage_bytes = (tile.stages > 0 ? tile.stages : slices) * (input_rows * pitch + entries) * 128;
  entry_bytes = round_up(entries * bytes, wgmma_step_entry_bytes(tile.sparse())) * positions * tile.entry_buffers;
  slot_steps = wgmma_slot_steps(problem, precision, tile.sparse());
  slot_bytes = slot_steps * kStepBytes * tile.block_channels;
  // Where a part of sparse P is stored by an even number of 64 positions, two are under way.
  const int staged = tile.sparse() && divide_up(part_positions, kTilePositions) % 2 == 0 ? 2 : 1;
  staging_bytes = tile.output_groups * kTilePositions * part_channels * bytes * staged;
  threads = (tile.output_groups + 2) * 128;
  barriers_besides_slots = 2 * (tile.stages > 0 ? tile.stages : input_rows / tile.chunk_rows) +
                           (input_tiles + 1) * tile.entry_buffers + tile.sets + 2;
  channel_blocks = divide_up(conv.out_channels, tile.block_channels);
  column_tiles = divide_up(out_w, tile.columns);
  row_tiles = divide_up(out_h, tile.rows);
  tiles = column_tiles * row_tiles * static_cast<int>(conv.batch);
}

int WgmmaLayout::ring(int slots, int record_bytes, int shared_limit) const {
  for (int ring = slots; ring > 0; --ring) {
    if (shared_bytes(ring, record_bytes) <= shared_limit) return ring >= std::min(slots, 2) ? ring : 0;
  }
  return 0;
}

std::vector<WgmmaTile> wgmma_tiles(const LookupProblem& problem, Precision precision, std::int64_t lookups, int shared_limit, int multiprocessors) {
  constexpr int kFormRegisters = 32, kPartRegisters = 36;  // besides sums
  const Conv2dProblem& conv = problem.conv;
  const auto out_h = static_cast<int>(conv.out_height()), out_w = static_cast<int>(conv.out_width());
  const int slices = divide_up(conv.in_channels, slice_channels(precision));
  std::vector<std::pair<double, WgmmaTile>> costs;
  const auto consider = [&](const WgmmaTile& tile) {
    const WgmmaLayout layout(problem, precision, tile);
    if (layout.entries > kMostProduct || layout.pitch > kMostBox || layout.input_rows > kMostBox) return;
    if (layout.pitch > kTilePositions && tile.columns < out_w) return;  // a tile's last 64 positions of a row would reach into its neighbour's
    if (layout.set_parts > 1 && layout.set_parts * layout.part_positions >= (tile.sparse() ? layout.output_positions + 1 : 2 * layout.output_positions)) return;
    const int form_sums = (tile.stages > 0 ? layout.input_tiles : layout.form_tiles) * layout.entries / 2;
    const int part_sums = layout.part_positions * layout.part_channels / 128;
    if (std::max(form_sums + kFormRegisters, part_sums + kPartRegisters) > layout.most_registers()) return;
    const auto record = static_cast<int>(expected_record_bytes(problem, precision, lookups, tile));
    const int slots = divide_up(std::llround(std::ceil(expected_steps(problem, precision, lookups, tile))), layout.slot_steps);
    const int ring = layout.ring(slots, record, shared_limit);
    if (ring == 0) return;
    if (tile.entry_buffers > 1 && layout.tiles * layout.channel_blocks <= multiprocessors) return;
    // Taking turns pays where slots come and go, and for more than one pass.
    const int passes = layout.passes() * layout.tiles * layout.channel_blocks;
    if (tile.sets > 1 && (ring >= slots || passes <= multiprocessors)) return;
    const int shared_bytes = layout.shared_bytes(ring, record);
    costs.emplace_back(cost(problem, precision, lookups, tile, layout, slots, ring, shared_bytes, shared_limit, multiprocessors), tile);
  };
  // Every way for X to come and for warpgroups to share the work.
  const auto consider_ways = [&](WgmmaTile tile) {
    const int input_rows = WgmmaLayout(problem, precision, tile).input_rows;
    for (int choice = 0; choice < 4; ++choice) {
      tile.entry_buffers = 1 + choice % 2;
      tile.sets = 1 + choice / 2;
      if (tile.output_groups % (tile.sets * (tile.sparse() ? tile.block_channels / kProductRows : 1)) != 0) continue;
      tile.stages = 0;
      for (const int chunks : {1, 4, 8}) {
        if (chunks > input_rows) break;
        tile.chunk_rows = divide_up(input_rows, chunks);
        if (tile.chunk_rows <= kMostBox) consider(tile);
      }
      tile.chunk_rows = input_rows;
      for (const int stages : std::set<int>{2, 3, 4, slices}) {
        tile.stages = stages;
        if (slices > 1 && stages <= slices && input_rows <= kMostBox) consider(tile);
      }
    }
  };
  std::set<int> rows, columns{out_w};
  for (int strips = 1; strips <= out_h; ++strips) rows.insert(divide_up(out_h, strips));
  for (int strips = 2; strips <= 8; ++strips) {
    if (divide_up(out_w, strips) >= 16) columns.insert(divide_up(out_w, strips));
  }
  for (const int row_count : rows) {
    for (const int column_count : columns) {
      for (const int block_channels : {64, 128, 192, 256}) {
        if (block_channels > 64 && block_channels >= 2 * conv.out_channels) break;
        for (int output_groups = 1; output_groups <= 5; ++output_groups) {
          const WgmmaTile tile{row_count, column_count, block_channels, output_groups, 1, 1, 0};
          for (const int group_tiles : {1, 2}) {
            if (group_tiles * block_channels / 2 > kMostSums) continue;
            WgmmaTile dense = tile;
            dense.group_tiles = group_tiles;
            consider_ways(dense);
          }
          if (element_bytes(precision) != 2 || output_groups % (block_channels / kProductRows) != 0) continue;
          const int pitch = WgmmaLayout(problem, precision, tile).pitch;
          for (const int piece : sparse_pieces((row_count - 1) * pitch + column_count, pitch)) {
            WgmmaTile sparse = tile;
            sparse.piece = piece;
            consider_ways(sparse);
          }
        }
      }
    }
  }
  // Only the best few that differ in how they divide the same work, and of neither form of P all.
  constexpr int kMostAlike = 5, kMostOfAForm = 48;
  std::map<std::array<int, 5>, int> alike;
  std::array<int, 2> of_form{};
  std::vector<WgmmaTile> tiles = cheapest_tiles(std::move(costs));
  std::erase_if(tiles, [&](const WgmmaTile& tile) {
    return ++alike[{tile.rows, tile.columns, tile.block_channels, tile.stages > 0, tile.sparse()}] > kMostAlike || ++of_form[tile.sparse()] > kMostOfAForm;
  });
  tiles.resize(std::min(tiles.size(), kMostTiles));
  return tiles;
}

std::string wgmma_source(const LookupProblem& problem, Precision precision, const WgmmaTile& tile, const WgmmaLayout& layout, const WgmmaLookups& lookups,
                         int ring) {
  const Conv2dProblem& conv = problem.conv;
  std::string source = std::string(kDictionaryTileSource) + kHopperSource;
  write_constants(SourceOut(source), precision,
                  {{"ROWS", tile.rows}, {"COLUMNS", tile.columns}, {"BLOCK_CHANNELS", tile.block_channels}, {"OUTPUT_GROUPS", tile.output_groups},
                   {"PART_POSITIONS", layout.part_positions}, {"PART_CHANNELS", layout.part_channels}, {"CHUNK_ROWS", tile.chunk_rows}, {"STAGES", tile.stages}, {"PITCH", layout.pitch},
                   {"INPUT_TILES", layout.input_tiles}, {"OUTPUT_POSITIONS", layout.output_positions},
                   {"STEP_ENTRY_BYTES", wgmma_step_entry_bytes(tile.sparse())}, {"STAGING_BYTES", layout.staging_bytes / tile.output_groups},
                   {"INPUT_ROWS", layout.input_rows}, {"ROW_SHIFT", layout.row_shift}, {"ENTRIES", layout.entries}, {"POSITIONS", layout.positions},
                   {"FORM_TILES", layout.form_tiles}, {"STAGE_BYTES", layout.stage_bytes}, {"CHANNEL_BLOCKS", layout.channel_blocks},
                   {"COLUMN_TILES", layout.column_tiles}, {"ROW_TILES", layout.row_tiles}, {"TILES", layout.tiles},
                   {"ENTRY_BUFFERS", tile.entry_buffers}, {"SETS", tile.sets}, {"RING", ring},
                   {"RESIDENT", ring >= lookups.most_slots}, {"SLOT_STEPS", lookups.slot_steps}, {"RECORD_BYTES", lookups.record_bytes},
                   {"MOST_SLOTS", lookups.most_slots}, {"METADATA_WORD", lookups.metadata_word}, {"LOOKUPS_WORD", lookups.lookups_word}, {"ELEMENT_BYTES", element_bytes(precision)},
                   {"IN_CHANNELS", conv.in_channels}, {"OUT_CHANNELS", conv.out_channels}, {"OUT_HEIGHT", conv.out_height()},
                   {"OUT_WIDTH", conv.out_width()}, {"KERNEL_H", conv.kernel[0]}, {"KERNEL_W", conv.kernel[1]}, {"PADDING_H", conv.padding[0]},
                   {"PADDING_W", conv.padding[1]}, {"DILATION_H", conv.dilation[0]}, {"DILATION_W", conv.dilation[1]}});
  source += "using lcnn_device::u64, lcnn_device::u32;\ntemplate <int kColumns> struct Product;\ntemplate <int kColumns> struct SparseProduct;\n";
  const SourceOut out(source);
  write_product(out, precision, layout.entries, ProductKind::dense);
  if (tile.sparse()) {
    write_product(out, precision, tile.piece, ProductKind::sparse);
  } else if (tile.block_channels != layout.entries) {
    write_product(out, precision, tile.block_channels, ProductKind::dense);
  }
  return source + kWgmmaBlockSource + (tile.sparse() ? kWgmmaSparseLookupsSource : kWgmmaDenseLookupsSource) + kWgmmaKernelSource;
}

}  // namespace lcnn::cuda
