#include "kernels/cuda/tensor_map.h"

#include <cudaTypedefs.h>
#include <fmt/format.h>

#include <stdexcept>

#include "kernels/cuda/check.h"

namespace lcnn::cuda {
namespace {

// cuTensorMapEncodeTiled, by its address: the driver's library is not linked.
PFN_cuTensorMapEncodeTiled_v12000 tensor_map_encoder() {
  static const PFN_cuTensorMapEncodeTiled_v12000 encoder = [] {
    void* address = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &address, 12000, cudaEnableDefault, &result), "finding cuTensorMapEncodeTiled");
    if (result != cudaDriverEntryPointSuccess) throw std::runtime_error("the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(address);
  }();
  return encoder;
}

}  // namespace

CUtensorMapDataType copied_type(Precision precision, bool round) {
  if (precision == Precision::fp16) return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  if (precision == Precision::bf16) return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  return round ? CU_TENSOR_MAP_DATA_TYPE_TFLOAT32 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

CUtensorMap tensor_map(const void* tensor, CUtensorMapDataType type, std::array<std::int64_t, 4> extents, const TensorBox& taken) {
  const cuuint64_t bytes = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16 || type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ? 2 : 4;
  const auto [batch, height, width, channels] = extents;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(channels), static_cast<cuuint64_t>(width), static_cast<cuuint64_t>(height), static_cast<cuuint64_t>(batch)};
  const cuuint64_t strides[] = {sizes[0] * bytes, sizes[1] * sizes[0] * bytes, sizes[2] * sizes[1] * sizes[0] * bytes};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(taken.channel_bytes / bytes), static_cast<cuuint32_t>(taken.columns), static_cast<cuuint32_t>(taken.rows),
                            static_cast<cuuint32_t>(taken.images)};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUtensorMapSwizzle swizzle = taken.channel_bytes == 32   ? CU_TENSOR_MAP_SWIZZLE_32B
                                     : taken.channel_bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                                 : CU_TENSOR_MAP_SWIZZLE_128B;
  CUtensorMap map;
  const CUresult result = tensor_map_encoder()(&map, type, 4, const_cast<void*>(tensor), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                               swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) throw std::runtime_error(fmt::format("cuTensorMapEncodeTiled: error {}", static_cast<int>(result)));
  return map;
}

}  // namespace lcnn::cuda
