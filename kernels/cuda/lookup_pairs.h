// The lookups as kernels read them from shared memory: in pairs, with their places in a tile of S.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/lookup_table.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

// How S lies in a block's tile, [row][entry][pitch], and how output channels are divided.
struct LookupPlaces {
  int element_bytes = 4, pitch = 1, lead = 0;  // zeros in front of a row
  int entries = 1, parts = 1;                  // of the tile; passes over the dictionary
  int block_channels = 1, blocks = 1;

  int channels() const { return blocks * block_channels; }  // of all blocks, those beyond the stage's included
};

struct LookupPairs {
  std::vector<std::uint32_t> pairs;      // [pair][4]: place in bytes from a pixel, coefficient, place, coefficient
  std::vector<std::int32_t> first_pair;  // [part][channels() + 1]: of each output channel
  int most_block_pairs = 0;              // of one block and part
};

// The lookups of all output channels for the first part of the dictionary, then for the next. Channels beyond the stage's
// have none. A channel's odd lookup is followed by one of the same place with coefficient 0.
LookupPairs lookup_pairs(const Conv2dProblem& stage, const LookupTable& lookups, const LookupPlaces& places);

}  // namespace lcnn::cuda
