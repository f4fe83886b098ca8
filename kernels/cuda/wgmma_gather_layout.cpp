#include "kernels/cuda/wgmma_gather_layout.h"

#include <fmt/format.h>

namespace lcnn::cuda {
namespace {

// How many of a channel's lookups a warp adds at once, so that a step is whole words of 16 bytes: loads wait for each other only from one such step to
// the next, but what fills up a channel's last one is loaded in vain.
int best_at_once(const Conv2dProblem& stage, const LookupTable& lookups, const WgmmaGatherTile& tile) {
  constexpr int kWait = 6;  // of a step, in loads
  if (tile.halves == 2) return 4;
  const auto taken = [&](int at_once) {
    std::int64_t steps = 0;
    for (std::int64_t channel = 0; channel < stage.out_channels; ++channel) steps += divide_up(channel_lookups(stage, lookups, channel), at_once);
    return steps * (kWait + at_once * (tile.item_blocks + 1));
  };
  return taken(2) < taken(4) ? 2 : 4;
}

}  // namespace

int channel_lookups(const Conv2dProblem& stage, const LookupTable& lookups, std::int64_t channel) {
  return lookups.row_offsets[(channel + 1) * stage.taps()] - lookups.row_offsets[channel * stage.taps()];
}

std::optional<WarpRegisters> granted_registers(Precision precision, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  constexpr int kForm = 34, kTerms = 18, kNextLoaded = 16, kFewSums = 64, kCode = 24, kCodeMany = 32, kData = 46, kDataBlock = 6;
  constexpr int kInstruction = 28;  // that a product takes besides its sums, of the kernel's own count
  constexpr int kMostDivided = 248;
  const int sums = layout.own_entries / 2, own_tiles = divide_up(product_tiles(layout), tile.form_groups);
  const int form = round_up(own_tiles * tile.halves * sums + kForm + (precision == Precision::fp32 ? sums + kTerms + (own_tiles > 1 ? kNextLoaded : 0) : 0), 8);
  const int item_sums = tile.sums * tile.item_channels * tile.item_blocks;
  const int look_up = round_up(item_sums + (!tile.code ? kData + kDataBlock * tile.item_blocks : item_sums > kFewSums || tile.halves == 2 ? kCodeMany : kCode), 8);

  const int most = layout.most_registers(), needed = std::max(form, look_up);
  if (sums + kInstruction > most) return std::nullopt;
  if (needed <= most) return WarpRegisters{needed, needed, false};
  if (needed > kMostDivided) return std::nullopt;
  const int form_warps = tile.form_groups * 4, all = (form_warps + tile.gather_warps) * most;
  const WarpRegisters granted = form > most ? WarpRegisters{form, (all - form_warps * form) / tile.gather_warps / 8 * 8, true}
                                            : WarpRegisters{(all - tile.gather_warps * look_up) / form_warps / 8 * 8, look_up, true};
  if (granted.form < form || granted.look_up < look_up) return std::nullopt;
  return granted;
}

std::string tile_name(const WgmmaGatherTile& tile) {
  return fmt::format("{}i{}r{}x{}c{}m{}p{}b{}f{}w{}s{}t{}k{}h{}z{}d{}y{}", tile.images, tile.rows, tile.columns, tile.cluster, tile.channel_parts,
                     tile.position_parts, tile.item_blocks, tile.form_groups,
                     tile.gather_warps, tile.stages, tile.dictionary_stages, tile.item_channels, tile.halves, tile.sums, tile.dictionary_parts, tile.store_buffers,
                     tile.code ? 'c' : 'd');
}

WgmmaGatherLayout::WgmmaGatherLayout(const LookupProblem& problem, Precision precision, const WgmmaGatherTile& tile, std::int64_t lookups) {
  constexpr int kFill = 2;  // lookups that fill up a channel's
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
  item_lines = std::max(1, 32 / pitch);
  line_items = pitch <= 32 ? 1 : divide_up(tile.columns, 32);
  item_columns = pitch <= 32 ? pitch : divide_up(tile.columns, line_items);
  position_items = divide_up(divide_up(lines, item_lines) * line_items, tile.item_blocks);
  const int last_item = (position_items * tile.item_blocks - 1) / line_items * item_lines * pitch + (line_items - 1) * item_columns;
  reach = last_item + 32;
  const int read = reach + far_rows * pitch + far_columns;
  channel_blocks = tile.cluster * tile.channel_parts;
  block_channels = round_up(divide_up(conv.out_channels, channel_blocks), stored_channels(precision));
  half_images = tile.halves == 2 && conv.batch > 1 ? tile.images : 0;
  half_rows = tile.halves == 2 && conv.batch == 1 ? tile.rows : 0;
  half_bytes = round_up(own_positions, 8) * 128;
  input_bytes = tile.halves * half_bytes;
  dictionary_bytes = dictionary_terms(precision) * own_entries * 128;
  record_channels = round_up(block_channels, tile.item_channels);
  items = record_channels / tile.item_channels * position_items;
  box_bytes = std::min(128, tile.item_channels * static_cast<int>(element_bytes(precision)));
  store_pitch = round_up(pitch, 128 / box_bytes);  // a line begins where its copy may
  store_bytes = tile.gather_warps * tile.store_buffers * round_up((item_lines == 1 ? 32 : item_lines * store_pitch) * box_bytes, 1024);
  entry_bytes = round_up(((entries - 1) * entry_pitch + std::max(entry_pitch, read)) * 4, 16);
  lookups_at_once = tile.code ? 0 : 4;
  record_bytes = tile.code ? record_channels * 4 : round_up(lookups_byte() + (lookups + kFill * block_channels) * lookup_bytes(tile), 16);
  column_tiles = out_w / tile.columns;
  row_tiles = divide_up(out_h, tile.rows + half_rows);
  tiles = column_tiles * row_tiles * divide_up(conv.batch, tile.images + half_images);
  threads = (tile.form_groups * 4 + tile.gather_warps) * 32;
}

WgmmaGatherLayout::WgmmaGatherLayout(const LookupProblem& problem, Precision precision, const WgmmaGatherTile& tile, const LookupTable& lookups)
    : WgmmaGatherLayout(problem, precision, tile, 0) {
  if (tile.code) return;
  const Conv2dProblem stage = problem.lookup_stage();
  lookups_at_once = best_at_once(stage, lookups, tile);
  int most = 0;
  for (std::int64_t first = 0; first < stage.out_channels; first += block_channels) {
    int padded = 0;
    for (std::int64_t channel = first; channel < std::min(first + block_channels, stage.out_channels); ++channel) {
      padded += round_up(channel_lookups(stage, lookups, channel), lookups_at_once);
    }
    most = std::max(most, padded);
  }
  record_bytes = round_up(lookups_byte() + (most + lookups_at_once) * lookup_bytes(tile), 16);
}

int WgmmaGatherLayout::lookups_byte() const { return round_up((2 * record_channels + 1) * 4, 16); }

}  // namespace lcnn::cuda
