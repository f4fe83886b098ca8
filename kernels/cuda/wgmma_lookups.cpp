#include "kernels/cuda/wgmma_lookups.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "kernels/cuda/swizzled_rows.h"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/weights.h"

namespace lcnn::cuda {
namespace {

struct Element {
  int channel, within;  // of the block, of the step's elements of P
  float coefficient;
};
// Which two of each four entries a channel of sparse P has, two bits each, the lower one first.
struct Pairs {
  int channel, four, bits;
};
struct Step {
  std::vector<Element> elements;
  std::vector<Pairs> pairs;
};
using Steps = std::map<std::tuple<int, int, int>, Step>;  // by tap, block of entries, and how many steps of these are in front

constexpr std::uint32_t kNoEntries = 0x44444444;  // metadata of pairs of the first two entries

// One lookup of a channel: the entry within its block, and the coefficient.
struct Lookup {
  int entry;
  float coefficient;
};

// Two of four entries a step, in ascending order; a single one beside the first or, being that, the second of the four.
void add_sparse(int channel, int four, std::vector<Lookup> lookups, const std::array<int, 2>& place, Steps& steps) {
  std::ranges::sort(lookups, {}, &Lookup::entry);
  for (std::size_t i = 0; i < lookups.size(); i += 2) {
    Step& step = steps[{place[0], place[1], static_cast<int>(i / 2)}];
    const int low = lookups[i].entry % 4;
    if (i + 1 < lookups.size()) {
      step.elements.push_back({channel, 2 * four, lookups[i].coefficient});
      step.elements.push_back({channel, 2 * four + 1, lookups[i + 1].coefficient});
      step.pairs.push_back({channel, four, low | lookups[i + 1].entry % 4 << 2});
    } else {
      step.elements.push_back({channel, 2 * four + (low > 0), lookups[i].coefficient});
      step.pairs.push_back({channel, four, std::max(low, 1) << 2});
    }
  }
}

Steps steps_of(const Conv2dProblem& stage, const LookupTable& lookups, std::span<const int> order, int step_entries, bool sparse, int first, int channels) {
  Steps steps;
  const auto taps = static_cast<int>(stage.taps());
  for (int channel = 0; channel < channels; ++channel) {
    for (int tap = 0; tap < taps; ++tap) {
      const std::size_t row = static_cast<std::size_t>(first + channel) * taps + tap;
      std::map<int, std::vector<Lookup>> by_four;  // by entry / 4, where P is sparse
      for (std::int32_t i = lookups.row_offsets[row]; i < lookups.row_offsets[row + 1]; ++i) {
        if (lookups.coefficients[i] == 0.0f) continue;
        const int entry = order[lookups.indices[i]];
        if (sparse) {
          by_four[entry / 4].push_back({entry, lookups.coefficients[i]});
        } else {
          steps[{tap, entry / step_entries, 0}].elements.push_back({channel, entry % step_entries, lookups.coefficients[i]});
        }
      }
      for (const auto& [four, some] : by_four) add_sparse(channel, four % (step_entries / 4), some, {tap, four * 4 / step_entries}, steps);
    }
  }
  return steps;
}

// Where a product of a warpgroup finds which entries a row of sparse P has: sets the four bits of four entries in the words of
// its 128 threads. Threads 2 * selector and 2 * selector + 1 of each four have 16 entries each of rows i and i + 8 of the
// warp's 16, so that one word a thread serves two products (PTX ISA, wgmma.mma_async.sp, sparsity metadata of .f16).
void set_metadata(std::uint32_t* words, int selector, const Pairs& pairs) {
  const int row = pairs.channel % 64, thread = row / 16 * 32 + row % 8 * 4 + selector * 2 + pairs.four / 4;
  const int shift = row % 16 / 8 * 16 + pairs.four % 4 * 4;
  words[thread] = (words[thread] & ~(0xFu << shift)) | static_cast<std::uint32_t>(pairs.bits) << shift;
}

void append_lookups(const Conv2dProblem& stage, const Steps& steps, Precision precision, const WgmmaPlaces& places, int block_channels, int slot_steps,
                    bool sparse, int most_slots, std::vector<std::uint32_t>& record) {
  const auto bytes = static_cast<int>(element_bytes(precision)), kernel_w = static_cast<int>(stage.kernel[1]);
  const int slot_pairs = divide_up(slot_steps, 2), pair_words = 2 * block_channels;  // 128 for each 64 channels
  std::vector<std::uint32_t> place, first{0}, list, metadata(sparse ? static_cast<std::size_t>(most_slots) * slot_pairs * pair_words : 0, kNoEntries);
  std::uint32_t lookups = 0;
  for (const auto& [key, parts] : steps) {
    const auto [tap, block, in_front] = key;
    const std::int64_t shift = tap / kernel_w * stage.dilation[0] * places.pitch + tap % kernel_w * stage.dilation[1];
    const int step = static_cast<int>(place.size()) % slot_steps;
    for (const Pairs& pairs : parts.pairs) {
      const std::size_t pair = place.size() / slot_steps * slot_pairs + step / 2;
      set_metadata(metadata.data() + pair * pair_words + pairs.channel / 64 * 128, step % 2, pairs);
    }
    place.push_back(static_cast<std::uint32_t>(block * (wgmma_step_entry_bytes(sparse) / 16) * places.positions * 16 + shift * 16));
    for (const Element& element : parts.elements) {
      const int byte = element.within * bytes;
      const auto at = static_cast<std::uint32_t>(((step * (kStepBytes / 16) + byte / 16) * block_channels + element.channel) * 16 + byte % 16) / bytes;
      const std::uint32_t value = word_of(precision, element.coefficient);
      if (bytes == 2) {
        list.push_back(at | value << 16);
      } else {
        list.insert(list.end(), {at, value});
      }
      ++lookups;
    }
    if (step == slot_steps - 1) first.push_back(lookups);
  }
  if (place.size() % slot_steps != 0 || place.empty()) first.push_back(lookups);
  record.push_back(static_cast<std::uint32_t>(first.size() - 1));
  place.resize(static_cast<std::size_t>(most_slots) * slot_steps);
  first.resize(most_slots + 1, lookups);
  record.insert(record.end(), place.begin(), place.end());
  record.insert(record.end(), first.begin(), first.end());
  record.resize((record.size() + 3) / 4 * 4);
  record.insert(record.end(), metadata.begin(), metadata.end());
  record.insert(record.end(), list.begin(), list.end());
}

std::vector<int> entries_by_tap(const LookupTable& lookups) {
  const auto taps = static_cast<std::size_t>(lookups.kernel[0] * lookups.kernel[1]);
  std::vector<std::size_t> first_tap(lookups.dictionary_size, taps);
  for (std::size_t row = 0; row + 1 < lookups.row_offsets.size(); ++row) {
    for (std::int32_t i = lookups.row_offsets[row]; i < lookups.row_offsets[row + 1]; ++i) {
      first_tap[lookups.indices[i]] = std::min(first_tap[lookups.indices[i]], row % taps);
    }
  }
  std::vector<int> entry_at(first_tap.size()), order(first_tap.size());
  std::iota(entry_at.begin(), entry_at.end(), 0);
  std::ranges::stable_sort(entry_at, {}, [&](int entry) { return first_tap[entry]; });
  for (std::size_t row = 0; row < entry_at.size(); ++row) order[entry_at[row]] = static_cast<int>(row);
  return order;
}

// The first exchanges found that leave fewer steps for a third lookup among four entries, until none does: random lookups of up
// to 5% of the entries then need none.
std::vector<int> spread_over_fours(const LookupTable& lookups, std::vector<int> order) {
  constexpr int kStepEntries = kStepBytes / 2, kMostRounds = 4;
  const auto entries = static_cast<int>(order.size()), fours = divide_up(entries, 4);
  const std::size_t rows = lookups.row_offsets.size() - 1;
  std::vector<int> entry_at(order.size());
  for (int entry = 0; entry < entries; ++entry) entry_at[order[entry]] = entry;
  std::vector<std::vector<std::size_t>> rows_of(order.size());  // that look an entry up
  std::vector<std::uint8_t> counts(rows * fours);               // of a row's lookups among four entries
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::int32_t i = lookups.row_offsets[row]; i < lookups.row_offsets[row + 1]; ++i) {
      if (lookups.coefficients[i] == 0.0f) continue;
      rows_of[lookups.indices[i]].push_back(row);
      ++counts[row * fours + order[lookups.indices[i]] / 4];
    }
  }
  const auto more_steps = [](int count) { return std::max(0, (count - 1) / 2); };
  // Steps more, where negative fewer, for the rows of an entry that goes from four to four.
  const auto move = [&](int entry, int from, int to) {
    int change = 0;
    for (const std::size_t row : rows_of[entry]) {
      std::uint8_t &left = counts[row * fours + from], &entered = counts[row * fours + to];
      change -= more_steps(left) + more_steps(entered);
      change += more_steps(--left) + more_steps(++entered);
    }
    return change;
  };
  const auto exchange = [&](int at, int other) {
    const int change = move(entry_at[at], at / 4, other / 4) + move(entry_at[other], other / 4, at / 4);
    std::swap(entry_at[at], entry_at[other]);
    return change;
  };
  const auto crowded = [&](int at) {
    return std::ranges::any_of(rows_of[entry_at[at]], [&](std::size_t row) { return counts[row * fours + at / 4] > 2; });
  };
  bool helped = true;
  for (int round = 0; helped && round < kMostRounds; ++round) {
    helped = false;
    for (int at = 0; at < entries; ++at) {
      const int first = at / kStepEntries * kStepEntries, last = std::min(first + kStepEntries, entries);
      for (int other = first; other < last && crowded(at); ++other) {
        if (other / 4 == at / 4) continue;
        if (exchange(at, other) < 0) helped = true;
        else exchange(at, other);
      }
    }
  }
  for (int at = 0; at < entries; ++at) order[entry_at[at]] = at;
  return order;
}

}  // namespace

int wgmma_entries(const LookupProblem& problem) { return divide_up(problem.dictionary_size, 16) * 16; }

int wgmma_slot_steps(const LookupProblem& problem, Precision precision, bool sparse) {
  const int steps = static_cast<int>(problem.conv.taps()) * divide_up(wgmma_entries(problem) * element_bytes(precision), wgmma_step_entry_bytes(sparse));
  const auto filled_up = [&](int slot_steps) { return divide_up(steps, slot_steps) * slot_steps; };
  int best = 4;
  for (const int other : {5, 3}) {
    if (filled_up(other) < filled_up(best)) best = other;
  }
  return best;
}

WgmmaLookups wgmma_lookups(const Conv2dProblem& stage, const LookupTable& lookups, std::span<const float> bias, std::span<const int> order, Precision precision,
                           const WgmmaPlaces& places, int block_channels, int slot_steps, bool sparse) {
  const int step_entries = wgmma_step_entry_bytes(sparse) / static_cast<int>(element_bytes(precision)), out_channels = static_cast<int>(stage.out_channels);
  std::vector<Steps> blocks;
  WgmmaLookups packed{.slot_steps = slot_steps};
  for (int first = 0; first < out_channels; first += block_channels) {
    blocks.push_back(steps_of(stage, lookups, order, step_entries, sparse, first, std::min(block_channels, out_channels - first)));
    packed.most_slots = std::max(packed.most_slots, divide_up(static_cast<std::int64_t>(blocks.back().size()), slot_steps));
  }
  packed.metadata_word = (block_channels + 2 + packed.most_slots * (slot_steps + 1) + 3) / 4 * 4;
  packed.lookups_word = packed.metadata_word + (sparse ? packed.most_slots * divide_up(slot_steps, 2) * 2 * block_channels : 0);
  std::vector<std::vector<std::uint32_t>> records;
  std::size_t words = 0;
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    std::vector<std::uint32_t>& record = records.emplace_back(block_channels);
    for (std::size_t i = 0; i < record.size(); ++i) {
      const std::size_t channel = block * block_channels + i;
      record[i] = std::bit_cast<std::uint32_t>(channel < bias.size() ? bias[channel] : 0.0f);
    }
    append_lookups(stage, blocks[block], precision, places, block_channels, slot_steps, sparse, packed.most_slots, record);
    words = std::max(words, record.size());
  }
  words = (words + 3) / 4 * 4;
  packed.record_bytes = static_cast<int>(words * 4);
  for (std::vector<std::uint32_t>& record : records) {
    record.resize(words);
    packed.records.insert(packed.records.end(), record.begin(), record.end());
  }
  return packed;
}

std::vector<int> wgmma_order(const LookupTable& lookups, Precision precision) {
  std::vector<int> order = entries_by_tap(lookups);
  return element_bytes(precision) == 2 ? spread_over_fours(lookups, std::move(order)) : order;
}

std::vector<std::uint32_t> wgmma_dictionary(const LookupProblem& problem, std::span<const float> dictionary, std::span<const int> order,
                                            Precision precision) {
  const auto channels = static_cast<int>(problem.conv.in_channels);
  const int slice = slice_channels(precision), slices = divide_up(channels, slice), entries = wgmma_entries(problem);
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(slices) * entries * 32);
  for (int entry = 0; entry < static_cast<int>(problem.dictionary_size); ++entry) {
    for (int channel = 0; channel < channels; ++channel) {
      put_swizzled(packed, static_cast<std::size_t>(channel / slice) * entries + order[entry], channel % slice, precision, dictionary[entry * channels + channel]);
    }
  }
  return packed;
}

}  // namespace lcnn::cuda
