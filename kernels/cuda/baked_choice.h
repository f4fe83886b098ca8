// What the variants with compiled-in lookups share: which problems they take, and how their kernel is chosen.
#pragma once

#include <string>

#include "kernels/cuda/baked_source.h"
#include "kernels/cuda/nvrtc_kernel.h"
#include "kernels/variant.h"

namespace lcnn::cuda {

// Why no baked kernel is made for a problem, in one sentence; empty when one is.
std::string why_not_baked(const LookupProblem& problem, Precision precision, Layout layout, bool fused);

// A compiled kernel with its tile.
struct BakedKernel {
  BakedTile tile;
  BakedLayout layout;
  NvrtcKernel kernel;

  // `arguments` are the kernel's inputs and y.
  void launch(void** arguments, void* stream) const;
  std::string describe() const;
};

// Compiles the best guess of baked_tiles() that fits a thread's registers. `form` is a vector problem that
// why_not_baked() accepts. Throws Unsupported when there are more lookups than are worth compiling in, or no tile fits.
BakedKernel make_baked_kernel(const VectorForm& form, Precision precision, bool fused);

}  // namespace lcnn::cuda
