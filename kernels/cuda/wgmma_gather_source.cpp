#include "kernels/cuda/wgmma_gather_source.h"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include "kernels/cuda/device_sources.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/source_parts.h"
#include "kernels/cuda/swizzled_rows.h"
#include "kernels/cuda/wgmma_product.h"
#include "kernels/weights.h"

namespace lcnn::cuda {
namespace {

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

}  // namespace

std::vector<std::uint32_t> wgmma_gather_records(const Conv2dProblem& stage, const LookupTable& lookups, std::span<const float> bias,
                                                Precision precision, const WgmmaGatherTile& tile, const WgmmaGatherLayout& layout) {
  const int words = layout.record_bytes / 4;
  std::vector<std::uint32_t> records(static_cast<std::size_t>(words) * layout.channel_blocks);
  for (int block = 0; block < layout.channel_blocks; ++block) {
    std::uint32_t* record = records.data() + static_cast<std::size_t>(block) * words;
    const int first_channel = block * layout.block_channels;
    const int channels = std::clamp(static_cast<int>(stage.out_channels) - first_channel, 0, layout.block_channels);
    for (int k = 0; k < channels && !bias.empty(); ++k) record[k] = sum_word(bias[first_channel + k], precision, tile.halves);
    if (tile.code) continue;
    std::uint32_t *first = record + layout.record_channels, *to = record + layout.lookups_byte() / 4, count = 0;
    const auto append = [&](int place, float coefficient) {
      if (tile.halves == 2) {
        *to++ = static_cast<std::uint32_t>(place) / 4 | static_cast<std::uint32_t>(bits_of(precision, coefficient)) << 16;
      } else {
        *to++ = static_cast<std::uint32_t>(place);
        *to++ = std::bit_cast<std::uint32_t>(coefficient);
      }
      ++count;
    };
    for (int k = 0; k < layout.record_channels; ++k) {
      first[k] = count;
      if (k >= channels) continue;
      int last_place = 0;
      for_each_lookup(stage, lookups, layout, first_channel + k, [&](int, int place, float coefficient) { append(last_place = place, coefficient); });
      while (count % layout.lookups_at_once != 0) append(last_place, 0);
    }
    first[layout.record_channels] = count;
  }
  return records;
}

std::vector<std::uint32_t> wgmma_gather_dictionary(const LookupProblem& problem, std::span<const float> dictionary, Precision precision,
                                                   int own_entries, int parts) {
  const auto channels = static_cast<int>(problem.conv.in_channels);
  const int slice = slice_channels(precision), slices = divide_up(channels, slice);
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(parts) * slices * dictionary_terms(precision) * own_entries * 32);
  for (int entry = 0; entry < static_cast<int>(problem.dictionary_size); ++entry) {
    for (int channel = 0; channel < channels; ++channel) {
      const int within = channel % slice, row = entry % own_entries;
      // Step within / 2 % 4 of a thread's eight channels, of which it holds two at a step, four inner indices apart.
      const int place = precision == Precision::fp32 ? within / 2 % 4 * 8 + within / 8 + within % 2 * 4 : within;
      const float value = dictionary[entry * channels + channel];
      for (int term = 0; term < dictionary_terms(precision); ++term) {
        const std::size_t at = ((static_cast<std::size_t>(entry / own_entries) * slices + channel / slice) * dictionary_terms(precision) + term) * own_entries + row;
        const float stored = precision != Precision::fp32 ? value : term == 0 ? tf32_of(value) : tf32_of(value - tf32_of(value));
        put_swizzled(packed, at, place, precision, stored);
      }
    }
  }
  return packed;
}

namespace {

// add_lookups() of wgmma_gather_items.cuh: straight-line code for each group of channels.
void write_baked_lookups(SourceOut out, const Conv2dProblem& stage, const LookupTable& lookups, Precision precision, const WgmmaGatherTile& tile,
                         const WgmmaGatherLayout& layout) {
  const int groups = layout.record_channels / tile.item_channels, all_groups = layout.channel_blocks * groups;  // of a block, of all
  fmt::format_to(out, "__device__ __forceinline__ void add_lookups(int part, int group, u32 position, const Record&, Sums& item_sums) {{\n  auto& sums = item_sums[0];\n  switch (part * {} + channel_block() * {} + group) {{\n", all_groups, groups);
  for (int group = 0; group < all_groups; ++group) {
    const int block_first = group / groups * layout.block_channels, first = block_first + group % groups * tile.item_channels;
    const int last = std::min({first + tile.item_channels, block_first + layout.block_channels, static_cast<int>(stage.out_channels)});
    // Of each part of the dictionary: bytes behind the position in S -> sums and coefficients.
    std::vector<std::map<int, std::vector<std::pair<int, float>>>> parts(tile.dictionary_parts);
    for (int channel = first; channel < last; ++channel) {
      const int to_first_sum = divide_up(channel_lookups(stage, lookups, channel), tile.sums);
      int count = 0;
      for_each_lookup(stage, lookups, layout, channel, [&](int part, int place, float coefficient) {
        parts[part][place].emplace_back(channel - first + (count++ < to_first_sum ? 0 : tile.item_channels), coefficient);
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
  const WarpRegisters registers = granted_registers(precision, tile, layout).value_or(WarpRegisters{});
  const auto taken = [&](int count) { return registers.divided ? count : 0; };
  write_constants(SourceOut(source), precision,
                  {{"IMAGES", tile.images}, {"ROWS", tile.rows}, {"CLUSTER", tile.cluster}, {"CHANNEL_PARTS", tile.channel_parts},
                   {"POSITION_PARTS", tile.position_parts}, {"HALVES", tile.halves}, {"SUMS", tile.sums},
                   {"ONE", sum_word(1, precision, tile.halves)}, {"DICTIONARY_PARTS", tile.dictionary_parts}, {"HALF_IMAGES", layout.half_images},
                   {"HALF_ROWS", layout.half_rows}, {"ITEM_LINES", layout.item_lines}, {"LINE_ITEMS", layout.line_items},
                   {"ITEM_COLUMNS", layout.item_columns}, {"ITEM_BLOCKS", tile.item_blocks}, {"BOX_BYTES", layout.box_bytes}, {"STORE_PITCH", layout.store_pitch}, {"STORE_BUFFERS", tile.store_buffers}, {"STORE_BYTES", layout.store_bytes},
                   {"OWN_IMAGES", layout.own_images}, {"OWN_ROWS", layout.own_rows}, {"POSITION_ITEMS", layout.position_items},
                   {"ITEM_CHANNELS", tile.item_channels}, {"FORM_GROUPS", tile.form_groups}, {"GATHER_WARPS", tile.gather_warps},
                   {"STAGES", tile.stages}, {"DICTIONARY_STAGES", tile.dictionary_stages}, {"PITCH", layout.pitch},
                   {"IMAGE_ROWS", layout.image_rows}, {"ENTRIES", layout.entries}, {"ENTRY_PITCH", layout.entry_pitch}, {"RECORD_CHANNELS", layout.record_channels},
                   {"LOOKUPS_AT_ONCE", layout.lookups_at_once}, {"BLOCK_CHANNELS", layout.block_channels}, {"ENTRY_BYTES", layout.entry_bytes},
                   {"RECORD_BYTES", layout.record_bytes}, {"LOOKUPS_BYTE", layout.lookups_byte()}, {"COLUMNS", tile.columns},
                   {"COLUMN_TILES", layout.column_tiles}, {"ROW_TILES", layout.row_tiles}, {"TILES", layout.tiles},
                   {"FORM_REGISTERS", taken(registers.form)}, {"GATHER_REGISTERS", taken(registers.look_up)}, {"ELEMENT_BYTES", element_bytes(precision)},
                   {"IN_CHANNELS", conv.in_channels}, {"OUT_CHANNELS", conv.out_channels}, {"OUT_HEIGHT", conv.out_height()},
                   {"OUT_WIDTH", conv.out_width()}, {"BATCH", conv.batch}, {"PADDING_H", conv.padding[0]}, {"PADDING_W", conv.padding[1]}});
  source += "using lcnn_device::u64, lcnn_device::u32;\ntemplate <int kColumns> struct Product;\ntemplate <int kColumns> struct RegisterProduct;\n";
  write_product(SourceOut(source), precision, layout.own_entries, precision == Precision::fp32 ? ProductKind::registers : ProductKind::dense);
  source += kWgmmaGatherBlockSource;
  source += kWgmmaGatherItemsSource;
  source += kWgmmaGatherKernelSource;
  if (tile.code) write_baked_lookups(SourceOut(source), problem.lookup_stage(), lookups, precision, tile, layout);
  else source += kWgmmaListedLookupsSource;
  return source;
}

}  // namespace lcnn::cuda
