#include "kernels/cuda/lookup_pairs.h"

#include <algorithm>
#include <bit>

namespace lcnn::cuda {

LookupPairs lookup_pairs(const Conv2dProblem& stage, const LookupTable& lookups, const LookupPlaces& places) {
  const auto kernel_w = static_cast<int>(stage.kernel[1]), taps = static_cast<int>(stage.taps());
  const auto pair_count = [](const LookupPairs& table) { return static_cast<std::int32_t>(table.pairs.size() / 4); };
  LookupPairs table;
  for (int part = 0; part < places.parts; ++part) {
    const std::size_t first = table.first_pair.size();
    for (int channel = 0; channel < places.channels(); ++channel) {
      table.first_pair.push_back(pair_count(table));
      for (int tap = 0; channel < stage.out_channels && tap < taps; ++tap) {
        const int row = channel * taps + tap;
        for (std::int32_t i = lookups.row_offsets[row]; i < lookups.row_offsets[row + 1]; ++i) {
          const auto entry = static_cast<int>(lookups.indices[i]);
          if (entry / places.entries != part) continue;
          const auto r = static_cast<int>(tap / kernel_w * stage.dilation[0]), s = static_cast<int>(tap % kernel_w * stage.dilation[1]);
          const int column = places.lead - static_cast<int>(stage.padding[1]) + s;
          const int place = ((r * places.entries + entry % places.entries) * places.pitch + column) * places.element_bytes;
          table.pairs.push_back(static_cast<std::uint32_t>(place));
          table.pairs.push_back(std::bit_cast<std::uint32_t>(lookups.coefficients[i]));
        }
      }
      if (table.pairs.size() % 4 != 0) table.pairs.insert(table.pairs.end(), {table.pairs[table.pairs.size() - 2], 0u});
    }
    table.first_pair.push_back(pair_count(table));
    for (int block = 0; block < places.blocks; ++block) {
      const std::size_t channel = first + block * places.block_channels;
      table.most_block_pairs = std::max(table.most_block_pairs, table.first_pair[channel + places.block_channels] - table.first_pair[channel]);
    }
  }
  return table;
}

}  // namespace lcnn::cuda
