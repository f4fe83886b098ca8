// wgmma_fused with tiles of every kind: X whole or in slices, P resident or in a ring, one tile a block or many, taking turns.
#include <gtest/gtest.h>

#include <string>

#include "kernels/cuda/cuda_variants.h"
#include "variants/wgmma_tiles_check.h"

namespace lcnn::cuda {
namespace {

class WgmmaFused : public testing::TestWithParam<Precision> {};

TEST_P(WgmmaFused, MatchesTheFloat64ReferenceWithTilesOfEveryKind) {
  check_tiles(wgmma_fused, GetParam(), 12, [](const VectorForm& form, const LookupProblem&, const DeviceLimits& limits) {
    return wgmma_kinds(form, GetParam(), limits.shared_bytes, limits.multiprocessors);
  });
}

INSTANTIATE_TEST_SUITE_P(Precisions, WgmmaFused, testing::Values(Precision::tf32, Precision::fp16, Precision::bf16),
                         [](const auto& info) { return "cuda_wgmma_fused_tiles_" + std::string(to_string(info.param)); });

}  // namespace
}  // namespace lcnn::cuda
