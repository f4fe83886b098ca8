// LookupPairs and the biases on the device.
#pragma once

#include <span>
#include <vector>

#include "kernels/cuda/lookup_pairs.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {

struct DeviceLookupPairs {
  Buffer pairs, first_pair;
  Buffer bias;  // a float for each channel that `places` divides, 0 beyond the stage's
  int most_block_pairs;

  DeviceLookupPairs(const Conv2dProblem& stage, const LookupWeights& weights, const LookupPlaces& places, const Execution& execution) {
    const LookupPairs table = lookup_pairs(stage, weights.lookups, places);
    std::vector<float> padded_bias(weights.bias);
    padded_bias.resize(static_cast<std::size_t>(places.blocks) * places.block_channels);
    pairs = upload(std::span<const std::uint32_t>(table.pairs), MemoryKind::weights, execution);
    first_pair = upload(std::span<const std::int32_t>(table.first_pair), MemoryKind::weights, execution);
    bias = upload(std::span<const float>(padded_bias), MemoryKind::weights, execution);
    most_block_pairs = table.most_block_pairs;
  }
};

}  // namespace lcnn::cuda
