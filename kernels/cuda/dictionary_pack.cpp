#include "kernels/cuda/dictionary_pack.h"

#include "kernels/cuda/tile_sizes.h"
#include "kernels/weights.h"

namespace lcnn::cuda {

std::vector<std::uint32_t> pack_dictionary(const Conv2dProblem& stage, std::span<const float> dictionary, Precision precision) {
  const bool narrow = element_bytes(precision) == 2;
  const int step = step_channels(precision), lane_channels = step / 4, terms = precision == Precision::fp32 ? 2 : 1;
  const auto channels = static_cast<int>(stage.in_channels), entries = static_cast<int>(stage.out_channels);
  const int steps = divide_up(channels, step), tiles = divide_up(entries, 16);
  const auto at = [&](int entry, int channel) {
    return entry < entries && channel < channels ? dictionary[entry * channels + channel] : 0.0f;
  };
  const auto term_of = [&](int entry, int channel, int term) {
    const float value = at(entry, channel), high = tf32_of(value);
    return std::bit_cast<std::uint32_t>(term == 0 ? high : tf32_of(value - high));
  };
  const auto pair_of = [&](int entry, int channel) {
    return bits_of(precision, at(entry, channel)) | static_cast<std::uint32_t>(bits_of(precision, at(entry, channel + 1))) << 16;
  };
  std::vector<std::uint32_t> packed;
  packed.reserve(static_cast<std::size_t>(steps) * tiles * terms * 128);
  for (int index = 0; index < steps * tiles * terms * 32; ++index) {
    const int lane = index % 32, term = index / 32 % terms, tile = index / (32 * terms) % tiles;
    const int first = index / (32 * terms * tiles) * step + lane % 4 * lane_channels;
    for (int i = 0; i < 4; ++i) {  // registers: (entry, k low), (entry + 8, k low), (entry, k high), (entry + 8, k high)
      const int entry = tile * 16 + lane / 4 + i % 2 * 8, channel = first + i / 2 * (lane_channels / 2);
      packed.push_back(narrow ? pair_of(entry, channel) : term_of(entry, channel, term));
    }
  }
  return packed;
}

}  // namespace lcnn::cuda
