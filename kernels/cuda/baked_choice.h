// What the variants with compiled-in lookups share: which problems they take, and how their kernel is chosen.
#pragma once

#include <string>

#include "kernels/cuda/baked_source.h"
#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/variant.h"

namespace lcnn::cuda {

// Beyond this, straight-line code takes minutes to compile and no longer fits the instruction caches.
constexpr std::int64_t kMostBakedLookups = 24000;
// Throws Unsupported when there are more.
void check_baked_lookups(const LookupTable& lookups);

// Why no baked kernel is made for a problem, in one sentence; empty when one is.
std::string why_not_baked(const LookupProblem& problem, Precision precision, Layout layout, bool fused);

// A compiled kernel with its tile.
struct BakedKernel {
  BakedTile tile;
  BakedLayout layout;
  NvrtcKernel kernel;
  std::string how;  // it was chosen

  // y from `input`: X, with D as packed for a fused kernel; else S, laid out as PaddedLayout says.
  void run(const void* input, const void* dictionary, void* y, void* stream) const;
  std::string describe() const;
};

// Compiles the tile of baked_tiles() that choose_kernel() takes. `form` is a vector problem that why_not_baked() accepts,
// `dictionary` is as run() takes it. Throws Unsupported when there are more lookups than are worth compiling in, or no
// tile fits.
BakedKernel make_baked_kernel(const VectorForm& form, Precision precision, const void* dictionary, bool fused,
                              const Execution& execution);

}  // namespace lcnn::cuda
