// batch_gather: lanes run over images: for layers with one output position or few, such as fully connected ones.
//
// Problem: any vector dictionary, up to 64 output positions; a filter dictionary is written as a vector one first. NCHW.
// Idea:    the other kernels run lanes over columns, of which there are none here. S is written as [row][column][entry][image],
//          so that a lookup is one contiguous load for 32 images, and stays in the L2.
// Tile:    32 output channels at one position for 32 images; a warp takes one channel after the other.
// Load:    each lane loads one of a channel's lookups, which then goes round the warp.
// Store:   through shared memory, so that a warp stores 32 channels of an image.
// Bound:   latency: a channel's lookups, then S, then Y; the lookups are loaded before the dictionary kernel has ended.
#include <bit>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/dictionary_tile.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

constexpr int kLanes = 32, kWarps = 8, kTileChannels = 32, kWarpChannels = kTileChannels / kWarps;
constexpr std::int64_t kMostPositions = 64;

struct Shape {
  int batch, out_channels, out_width, positions;
  std::int64_t row_step, column_step;  // elements of S between neighbouring outputs
};

// A lookup: where in S from an output's first tap and image, and by how much.
using Lookup = uint2;

template <typename T>
__global__ void __launch_bounds__(kWarps * kLanes)
    batch_gather_kernel(Shape shape, const T* __restrict__ s, const Lookup* __restrict__ lookups, const int* __restrict__ first_lookup,
                        const float* __restrict__ bias, T* __restrict__ y) {
  __shared__ float tile[kTileChannels][kLanes + 1];
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  const int first_channel = blockIdx.x * kTileChannels, position = blockIdx.y, first_image = blockIdx.z * kLanes;
  const bool inside = first_image + lane < shape.batch;
  const T* pixel = s + position / shape.out_width * shape.row_step + position % shape.out_width * shape.column_step + first_image + lane;

  int begins[kWarpChannels], ends[kWarpChannels];
  Lookup mine[kWarpChannels];
#pragma unroll
  for (int c = 0; c < kWarpChannels; ++c) {
    const int channel = min(first_channel + warp * kWarpChannels + c, shape.out_channels - 1);
    begins[c] = first_lookup[channel];
    ends[c] = first_lookup[channel + 1];
    mine[c] = begins[c] + lane < ends[c] ? lookups[begins[c] + lane] : make_uint2(0, 0);
  }
  lcnn_device::wait_for_previous_kernel();
#pragma unroll
  for (int c = 0; c < kWarpChannels; ++c) {
    float sum = 0.0f;
    for (int begin = begins[c]; begin < ends[c]; begin += kLanes) {
      if (begin != begins[c]) mine[c] = begin + lane < ends[c] ? lookups[begin + lane] : make_uint2(0, 0);
      const int count = min(kLanes, ends[c] - begin);
#pragma unroll 8
      for (int i = 0; i < count; ++i) {
        const unsigned place = __shfl_sync(0xffffffffu, mine[c].x, i);
        const float coefficient = __uint_as_float(__shfl_sync(0xffffffffu, mine[c].y, i));
        if (inside) sum = fmaf(coefficient, to_float(pixel[place]), sum);
      }
    }
    tile[warp * kWarpChannels + c][lane] = sum;
  }
  __syncthreads();
  const int channel = first_channel + lane;
  if (channel >= shape.out_channels) return;
  const float channel_bias = bias == nullptr ? 0.0f : bias[channel];
  for (int image = warp; image < kLanes && first_image + image < shape.batch; image += kWarps) {
    y[(static_cast<std::int64_t>(first_image + image) * shape.out_channels + channel) * shape.positions + position] =
        from_float<T>(tile[lane][image] + channel_bias);
  }
}

class BatchGather final : public PreparedConvolution {
 public:
  BatchGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout, const Execution& execution)
      : BatchGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override {
    dictionary_.run(x, input_dictionary_.as<void>(), stream);
    const Shape shape{static_cast<int>(stage_.batch), static_cast<int>(stage_.out_channels), static_cast<int>(stage_.out_width()),
                      static_cast<int>(stage_.out_height() * stage_.out_width()), strides_.row * stage_.stride[0], strides_.column * stage_.stride[1]};
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(divide_up(stage_.out_channels, kTileChannels), shape.positions, divide_up(stage_.batch, kLanes));
    config.blockDim = dim3(kWarps * kLanes);
    config.stream = as_stream(stream);
    config.attrs = &overlap;
    config.numAttrs = 1;
    with_element(precision_, [&]<typename T>(T) {
      check(cudaLaunchKernelEx(&config, batch_gather_kernel<T>, shape, static_cast<const T*>(input_dictionary_.as<T>()),
                               static_cast<const Lookup*>(lookups_.as<Lookup>()), static_cast<const int*>(first_lookup_.as<int>()),
                               static_cast<const float*>(bias_.as<float>()), static_cast<T*>(y)),
            "launching batch_gather_kernel");
    });
  }

  std::string choice() const override { return dictionary_.choice(); }

 private:
  BatchGather(const VectorForm& form, Precision precision, const Execution& execution)
      : stage_(form.problem.lookup_stage()),
        precision_(precision),
        strides_(strides_of(stage_)),
        dictionary_(form.problem.dictionary_stage(), form.weights.dictionary, precision, strides_, execution),
        bias_(upload(std::span<const float>(form.weights.bias), MemoryKind::weights, execution)),
        input_dictionary_(*execution.allocator, elements() * element_bytes(precision), MemoryKind::workspace) {
    upload_lookups(form.weights.lookups, execution);
    check(cudaMemsetAsync(input_dictionary_.as<void>(), 0, elements() * element_bytes(precision), as_stream(execution.stream)), "zeroing the padding");
  }

  static InputDictionaryStrides strides_of(const Conv2dProblem& stage) {
    const std::int64_t column = stage.in_channels * stage.batch, row = (stage.width + 2 * stage.padding[1]) * column;
    return {.origin = stage.padding[0] * row + stage.padding[1] * column, .image = 1, .entry = stage.batch, .row = row, .column = column};
  }
  std::int64_t elements() const { return (stage_.height + 2 * stage_.padding[0]) * strides_.row; }

  void upload_lookups(const LookupTable& table, const Execution& execution) {
    const std::int64_t taps = stage_.taps();
    std::vector<std::uint32_t> lookups;
    std::vector<std::int32_t> first{0};
    for (std::int64_t row = 0; row < table.rows(); ++row) {
      const std::int64_t tap = row % taps, r = tap / stage_.kernel[1], c = tap % stage_.kernel[1];
      const std::int64_t place = r * stage_.dilation[0] * strides_.row + c * stage_.dilation[1] * strides_.column;
      for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
        lookups.push_back(static_cast<std::uint32_t>(place + table.indices[i] * strides_.entry));
        lookups.push_back(std::bit_cast<std::uint32_t>(table.coefficients[i]));
      }
      if (tap == taps - 1) first.push_back(static_cast<std::int32_t>(lookups.size() / 2));
    }
    lookups_ = upload(std::span<const std::uint32_t>(lookups), MemoryKind::weights, execution);
    first_lookup_ = upload(std::span<const std::int32_t>(first), MemoryKind::weights, execution);
  }

  Conv2dProblem stage_;
  Precision precision_;
  InputDictionaryStrides strides_;
  DictionaryStage dictionary_;
  Buffer bias_, lookups_, first_lookup_;
  Buffer input_dictionary_;  // S
};

std::string why_unsupported(const LookupProblem& problem, Precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  const LookupProblem vector = vector_form(problem);
  if (std::string reason = DictionaryStage::why_unsupported(vector.dictionary_stage()); !reason.empty()) return reason;
  const Conv2dProblem stage = vector.lookup_stage();
  if (stage.out_height() * stage.out_width() > kMostPositions) return "more than 64 output positions are not supported";
  const std::int64_t padded = (stage.height + 2 * stage.padding[0]) * (stage.width + 2 * stage.padding[1]);
  if (stage.batch > 65535 || padded * stage.in_channels * stage.batch > (std::int64_t{1} << 31)) return "an S of more than 2^31 values is not supported";
  return {};
}

}  // namespace

const Variant batch_gather{.name = "batch_gather",
                           .device = Device::cuda,
                           .why_unsupported = why_unsupported,
                           .prepare = prepare_as<BatchGather>};

}  // namespace lcnn::cuda
