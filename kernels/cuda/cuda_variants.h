// The lookup variants for CUDA, one file each.
#pragma once

#include "kernels/variant.h"

namespace lcnn::cuda {

extern const Variant naive_sparse;
extern const Variant shared_tiled;
extern const Variant precompute_gather;
extern const Variant baked_gather;
extern const Variant baked_fused;
extern const Variant baked_filter;
extern const Variant table_gather;
extern const Variant compact_gather;
extern const Variant batch_gather;
extern const Variant wgmma_fused;
extern const Variant wgmma_gather;

// Why fp32 kernels without matrix units do not run as tf32; empty for other precisions.
inline std::string why_not_tf32(Precision precision) {
  return precision == Precision::tf32 ? "tf32 is not supported: it uses no matrix units, run it as fp32" : "";
}

}  // namespace lcnn::cuda
