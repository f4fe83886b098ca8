// batch_gather: lanes run over images: for layers with one output position or few, such as fully connected ones.
//
// Problem: any vector dictionary, up to 64 output positions; a filter dictionary is written as a vector one first. NCHW and
//          channels-last.
// Idea:    the other kernels run lanes over columns, of which there are none here. S is written as [row][column][entry][image],
//          so that a lookup is one contiguous load for 32 images, and stays in the L2.
// Tile:    8 output channels at one position for 32 images, a warp a channel: half of its lanes take every other lookup of a
//          pair of images each.
// Load:    each lane loads one of a channel's lookups, which then goes round the warp; the loads of S of kTogether lookups are on their way.
// Store:   through shared memory, so that 8 lanes store 8 channels of an image.
// Bound:   latency: a channel's lookups, then S, then Y; the lookups are loaded before the dictionary kernel has ended.
#include <bit>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/cuda/batch_dictionary.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/dictionary_tile.cuh"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/tile_sizes.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

constexpr int kLanes = 32, kWarps = 8, kPairs = kLanes / 2;
constexpr int kBlocks = 4;  // of a multiprocessor: fc6 is one round of them
template <typename T>
constexpr int kTogether = sizeof(T) == 2 ? 16 : 8;  // lookups whose values of S are on their way at once: what registers hold
constexpr int kLookupMultiple = 4;  // a channel's lookups are filled up to, with coefficients of zero
constexpr std::int64_t kMostPositions = 64;

struct Shape {
  int batch, out_channels, out_width;
  std::int64_t row_step, column_step;                     // elements of S between neighbouring outputs
  std::int64_t image_step, channel_step, position_step;  // elements of Y
};

// A lookup: where in S from an output's first tap and image, and by how much.
using Lookup = uint2;

// Adds lookups first + half, first + half + 2, ... of the warp's `mine` to the sums of this lane's pair of images.
template <int kCount, typename T>
__device__ void add_lookups(float (&sums)[2], const Lookup& mine, int first, int half, const T* pixel, bool inside) {
  Pack<T, 2> values[kCount / 2];
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) {
    const unsigned place = __shfl_sync(0xffffffffu, mine.x, first + 2 * i + half);
    if (inside) values[i] = *reinterpret_cast<const Pack<T, 2>*>(pixel + place);
  }
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) {
    const float coefficient = __uint_as_float(__shfl_sync(0xffffffffu, mine.y, first + 2 * i + half));
    if (!inside) continue;
    sums[0] = fmaf(coefficient, to_float(values[i].values[0]), sums[0]);
    sums[1] = fmaf(coefficient, to_float(values[i].values[1]), sums[1]);
  }
}

template <typename T>
__global__ void __launch_bounds__(kWarps * kLanes, kBlocks)
    batch_gather_kernel(Shape shape, const T* __restrict__ s, const Lookup* __restrict__ lookups, const int* __restrict__ first_lookup,
                        const float* __restrict__ bias, T* __restrict__ y) {
  __shared__ float tile[kWarps][kLanes + 1];
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes, half = lane / kPairs, pair = lane % kPairs;
  const int first_channel = blockIdx.x * kWarps, position = blockIdx.y, first_image = blockIdx.z * kLanes;
  const int channel = min(first_channel + warp, shape.out_channels - 1);
  const bool inside = first_image + 2 * pair < shape.batch;
  const T* pixel = s + position / shape.out_width * shape.row_step + position % shape.out_width * shape.column_step + first_image + 2 * pair;

  const int begin = first_lookup[channel], end = first_lookup[channel + 1];
  const auto lookup_at = [&](int i) { return i < end ? lookups[i] : make_uint2(0, 0); };
  Lookup mine = lookup_at(begin + lane);
  const float channel_bias = bias == nullptr ? 0.0f : bias[channel];
  lcnn_device::wait_for_previous_kernel();
  float sums[2] = {};
  for (int first = begin; first < end; first += kLanes) {
    const Lookup next = lookup_at(first + kLanes + lane);
    const int count = min(end - first, kLanes);
    int i = 0;
#pragma unroll 1
    for (; i + kTogether<T> <= count; i += kTogether<T>) add_lookups<kTogether<T>>(sums, mine, i, half, pixel, inside);
#pragma unroll 1
    for (; i < count; i += kLookupMultiple) add_lookups<kLookupMultiple>(sums, mine, i, half, pixel, inside);
    mine = next;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], kPairs);
    if (half == i) tile[warp][2 * pair + i] = sums[i] + channel_bias;
  }
  __syncthreads();
  const int stored_channel = first_channel + lane % kWarps, image = threadIdx.x / kWarps;
  if (stored_channel >= shape.out_channels || first_image + image >= shape.batch) return;
  y[(first_image + image) * shape.image_step + stored_channel * shape.channel_step + position * shape.position_step] =
      from_float<T>(tile[lane % kWarps][image]);
}

class BatchGather final : public PreparedConvolution {
 public:
  BatchGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout, const Execution& execution)
      : BatchGather(vector_form(problem, weights), precision, layout, execution) {}

  void run(const void* x, void* y, void* stream) override {
    std::visit([&](const auto& dictionary) { dictionary.run(x, input_dictionary_.as<void>(), stream); }, dictionary_);
    const std::int64_t positions = stage_.out_height() * stage_.out_width(), channels = stage_.out_channels;
    Shape shape{static_cast<int>(stage_.batch), static_cast<int>(channels), static_cast<int>(stage_.out_width()),
                strides_.row * stage_.stride[0], strides_.column * stage_.stride[1], channels * positions, positions, 1};
    if (layout_ == Layout::nhwc) {
      shape.channel_step = 1;
      shape.position_step = channels;
    }
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(divide_up(channels, kWarps), static_cast<unsigned>(positions), divide_up(stage_.batch, kLanes));
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

  std::string choice() const override {
    return std::visit([](const auto& dictionary) { return dictionary.choice(); }, dictionary_);
  }

 private:
  using Dictionary = std::variant<DictionaryStage, BatchDictionary>;

  BatchGather(const VectorForm& form, Precision precision, Layout layout, const Execution& execution)
      : stage_(form.problem.lookup_stage()),
        precision_(precision),
        layout_(layout),
        strides_(strides_of(stage_)),
        dictionary_(dictionary_of(form, precision, layout, strides_, execution)),
        bias_(upload(std::span<const float>(form.weights.bias), MemoryKind::weights, execution)),
        input_dictionary_(*execution.allocator, elements() * element_bytes(precision), MemoryKind::workspace) {
    upload_lookups(form.weights.lookups, execution);
    check(cudaMemsetAsync(input_dictionary_.as<void>(), 0, elements() * element_bytes(precision), as_stream(execution.stream)), "zeroing the padding");
  }

  static Dictionary dictionary_of(const VectorForm& form, Precision precision, Layout layout, const InputDictionaryStrides& strides,
                                  const Execution& execution) {
    const Conv2dProblem stage = form.problem.dictionary_stage();
    if (layout == Layout::nhwc) return BatchDictionary(stage, form.weights.dictionary, precision, strides, execution);
    return DictionaryStage(stage, form.weights.dictionary, precision, strides, execution);
  }

  // Images in pairs: an odd batch has one of zeros behind it.
  static InputDictionaryStrides strides_of(const Conv2dProblem& stage) {
    const std::int64_t entry = (stage.batch + 1) / 2 * 2, column = stage.in_channels * entry;
    const std::int64_t row = (stage.width + 2 * stage.padding[1]) * column;
    return {.origin = stage.padding[0] * row + stage.padding[1] * column, .image = 1, .entry = entry, .row = row, .column = column};
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
      if (tap != taps - 1) continue;
      lookups.resize((lookups.size() / 2 + kLookupMultiple - 1) / kLookupMultiple * kLookupMultiple * 2);
      first.push_back(static_cast<std::int32_t>(lookups.size() / 2));
    }
    lookups_ = upload(std::span<const std::uint32_t>(lookups), MemoryKind::weights, execution);
    first_lookup_ = upload(std::span<const std::int32_t>(first), MemoryKind::weights, execution);
  }

  Conv2dProblem stage_;
  Precision precision_;
  Layout layout_;
  InputDictionaryStrides strides_;
  Dictionary dictionary_;
  Buffer bias_, lookups_, first_lookup_;
  Buffer input_dictionary_;  // S
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  const LookupProblem vector = vector_form(problem);
  const Conv2dProblem dictionary = vector.dictionary_stage();
  std::string reason = layout == Layout::nhwc ? BatchDictionary::why_unsupported(dictionary, precision) : DictionaryStage::why_unsupported(dictionary);
  if (!reason.empty()) return reason;
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
