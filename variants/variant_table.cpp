#include "variants/variant_table.h"

#include "kernels/cpu/cpu_variants.h"
#if LCNN_HAS_CUDA
#include "kernels/cuda/cuda_variants.h"
#endif

namespace lcnn {

std::span<const Variant* const> variant_table() {
  static const Variant* const kTable[] = {
      &cpu::naive_sparse,
      &cpu::shared_tiled,
      &cpu::precompute_gather,
      &cpu::flat_gather,
      &cpu::batch_gather,
      &cpu::row_gather,
      &cpu::dense_filters,
      &cpu::auto_lookup,
      &cpu::conv2d_onednn,
      &cpu::conv2d_onednn_blocked,
      &cpu::two_convolutions,
      &cpu::sparse_csr,
#if LCNN_HAS_CUDA
      &cuda::naive_sparse,
      &cuda::shared_tiled,
      &cuda::precompute_gather,
      &cuda::baked_gather,
      &cuda::baked_fused,
      &cuda::baked_filter,
      &cuda::table_gather,
      &cuda::compact_gather,
      &cuda::batch_gather,
      &cuda::wgmma_fused,
      &cuda::wgmma_gather,
      &cuda::dense_filters,
      &cuda::auto_lookup,
      &cuda::conv2d_libtorch,
      &cuda::conv2d_cudnn,
      &cuda::two_convolutions,
      &cuda::sparse_2_4,
#endif
  };
  return kTable;
}

}  // namespace lcnn
