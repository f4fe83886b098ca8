// Tiles of wgmma_gather by a fitted cost model.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cuda/wgmma_gather_layout.h"

namespace lcnn::cuda {

// Of a layer, as code: more take the compiler too long.
inline constexpr std::int64_t kMostBakedLookups = 16 * 1024;

// Tiles worth trying, best guess first; none where nothing fits. `problem` is a vector one without groups, of stride 1.
std::vector<WgmmaGatherTile> wgmma_gather_tiles(const LookupProblem& problem, Precision precision, const LookupTable& lookups, int shared_limit, int multiprocessors);

}  // namespace lcnn::cuda
