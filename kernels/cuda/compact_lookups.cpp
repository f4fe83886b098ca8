#include "kernels/cuda/compact_lookups.h"

#include <algorithm>
#include <array>
#include <map>

#include "kernels/cuda/tile_sizes.h"
#include "kernels/weights.h"

namespace lcnn::cuda {
namespace {

constexpr int kLoadRows = 8;  // that one matrix of ldmatrix holds
constexpr int kBankWords = 8;  // words of 16 bytes in all banks

using Coefficients = std::array<float, kGroupChannels>;
using Rows = std::map<int, Coefficients>;  // by place, in words
struct Slot {
  int place = 0;
  Coefficients coefficients{};
};
using Load = std::vector<Slot>;

// What 16 channels look up.
Rows rows_of(const Conv2dProblem& stage, const LookupTable& lookups, const CompactPlaces& places, int group) {
  Rows rows;
  const auto kernel_w = static_cast<int>(stage.kernel[1]), taps = static_cast<int>(stage.taps());
  const int channels = std::min(kGroupChannels, static_cast<int>(stage.out_channels) - group * kGroupChannels);
  for (int channel = 0; channel < channels; ++channel) {
    for (int tap = 0; tap < taps; ++tap) {
      const int row = (group * kGroupChannels + channel) * taps + tap;
      for (std::int32_t i = lookups.row_offsets[row]; i < lookups.row_offsets[row + 1]; ++i) {
        if (lookups.coefficients[i] == 0.0f) continue;
        const int place = tap % kernel_w * places.column_words + tap / kernel_w * static_cast<int>(stage.dilation[0]) * places.row_words +
                          places.entry(static_cast<int>(lookups.indices[i]));
        rows[place][channel] = lookups.coefficients[i];
      }
    }
  }
  return rows;
}

// Rows of one bank, the most frequent bank first, go where fewest of that bank are.
std::vector<Load> spread_over_loads(const Rows& rows) {
  std::array<std::vector<Slot>, kBankWords> banks;
  for (const auto& [place, coefficients] : rows) banks[place % kBankWords].push_back({place, coefficients});
  std::ranges::sort(banks, std::ranges::greater(), &std::vector<Slot>::size);
  std::vector<Load> loads(2 * divide_up(static_cast<int>(rows.size()), kStepRows));
  for (const std::vector<Slot>& bank : banks) {
    std::vector<int> of_bank(loads.size());
    for (const Slot& slot : bank) {
      std::size_t best = loads.size();
      for (std::size_t load = 0; load < loads.size(); ++load) {
        if (loads[load].size() == kLoadRows) continue;
        if (best == loads.size() || std::pair(of_bank[load], loads[load].size()) < std::pair(of_bank[best], loads[best].size())) best = load;
      }
      loads[best].push_back(slot);
      ++of_bank[best];
    }
  }
  for (Load& load : loads) load.resize(kLoadRows, {load.empty() ? 0 : load.front().place, {}});
  return loads;
}

std::uint32_t packed(Precision precision, float low, float high) {
  return bits_of(precision, low) | static_cast<std::uint32_t>(bits_of(precision, high)) << 16;
}

}  // namespace

CompactLookups compact_lookups(const Conv2dProblem& stage, const LookupTable& lookups, Precision precision, const CompactPlaces& places) {
  CompactLookups compact;
  const auto steps = [&] { return static_cast<std::int32_t>(compact.steps.size() / (kStepWords * 4)); };
  for (int group = 0; group < divide_up(stage.out_channels, kGroupChannels); ++group) {
    compact.first_step.push_back(steps());
    const std::vector<Load> loads = spread_over_loads(rows_of(stage, lookups, places, group));
    for (std::size_t first = 0; first < loads.size(); first += 2) {
      const auto slot = [&](int row) -> const Slot& { return loads[first + row / kLoadRows][row % kLoadRows]; };
      for (int lane = 0; lane < 32; ++lane) {
        for (int i = 0; i < 4; ++i) {
          const int channel = lane / 4 + i % 2 * 8, row = lane % 4 * 2 + i / 2 * 8;
          compact.steps.push_back(packed(precision, slot(row).coefficients[channel], slot(row + 1).coefficients[channel]));
        }
      }
      for (int row = 0; row < kStepRows; ++row) compact.steps.push_back(static_cast<std::uint32_t>(slot(row).place * 16));
    }
  }
  compact.first_step.push_back(steps());
  return compact;
}

int most_block_steps(const std::vector<std::int32_t>& first_step, int block_groups) {
  const int groups = static_cast<int>(first_step.size()) - 1;
  int most = 0;
  for (int group = 0; group < groups; group += block_groups) {
    most = std::max(most, first_step[std::min(group + block_groups, groups)] - first_step[group]);
  }
  return most;
}

}  // namespace lcnn::cuda
