// The only list of implementations. Benchmarks, tests and tools read it; a new variant is one line in its .cpp.
#pragma once

#include <span>

#include "kernels/variant.h"

namespace lcnn {

// Lookup variants, then the Conv2d baselines, then the peers; CUDA ones only in builds with CUDA.
std::span<const Variant* const> variant_table();

// Variants defined in this folder, because they need a library that kernels/ does not.
inline constexpr std::string_view kAutoVariant = "auto";  // the one that chooses among the other lookup variants
// The filters that lookups and dictionary stand for, and the library's convolution: what `auto` takes where lookups do not pay.
inline constexpr std::string_view kDenseVariant = "dense_filters";

namespace cpu {
extern const Variant dense_filters;
extern const Variant auto_lookup;
extern const Variant conv2d_onednn;
extern const Variant conv2d_onednn_blocked;
extern const Variant two_convolutions;
extern const Variant sparse_csr;
}  // namespace cpu
namespace cuda {
extern const Variant dense_filters;
extern const Variant auto_lookup;
extern const Variant conv2d_libtorch;
extern const Variant conv2d_cudnn;
extern const Variant two_convolutions;
extern const Variant sparse_2_4;
}  // namespace cuda

}  // namespace lcnn
