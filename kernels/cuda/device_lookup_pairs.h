// LookupPairs and the biases on the device.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <utility>
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
    padded_bias.resize(places.channels());
    pairs = upload(std::span<const std::uint32_t>(table.pairs), MemoryKind::weights, execution);
    first_pair = upload(std::span<const std::int32_t>(table.first_pair), MemoryKind::weights, execution);
    bias = upload(std::span<const float>(padded_bias), MemoryKind::weights, execution);
    most_block_pairs = table.most_block_pairs;
  }
};

// The tables of several numbered candidates, made when they are first asked for.
class CandidatePairs {
 public:
  using Make = std::function<DeviceLookupPairs(std::size_t candidate)>;
  explicit CandidatePairs(Make make) : make_(std::move(make)) {}

  const DeviceLookupPairs& of(std::size_t candidate) {
    const auto found = made_.find(candidate);
    return found != made_.end() ? found->second : made_.emplace(candidate, make_(candidate)).first->second;
  }
  DeviceLookupPairs take(std::size_t candidate) { return std::move(made_.at(candidate)); }

 private:
  Make make_;
  std::map<std::size_t, DeviceLookupPairs> made_;
};

}  // namespace lcnn::cuda
