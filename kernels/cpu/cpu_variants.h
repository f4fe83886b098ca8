// The lookup variants for the CPU, one file each.
#pragma once

#include "kernels/variant.h"

namespace lcnn::cpu {

extern const Variant naive_sparse;
extern const Variant shared_tiled;
extern const Variant precompute_gather;
extern const Variant flat_gather;
extern const Variant batch_gather;

}  // namespace lcnn::cpu
