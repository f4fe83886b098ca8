// Tiles of wgmma_gather by a fitted cost model.
#pragma once

#include <vector>

#include "kernels/cuda/wgmma_gather_layout.h"

namespace lcnn::cuda {

// Tiles worth trying, best guess first; none where nothing fits. `problem` is a vector one without groups, of stride 1.
std::vector<WgmmaGatherTile> wgmma_gather_tiles(const LookupProblem& problem, Precision precision, const LookupTable& lookups, int shared_limit, int multiprocessors);

}  // namespace lcnn::cuda
