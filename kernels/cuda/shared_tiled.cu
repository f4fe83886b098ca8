// shared_tiled: a block computes one tile of output pixels for every output channel; the tile's S stays in shared
// memory.
//
// Problem: one image's output tile (tile_h x tile_w) x all output channels.
// Tile:    S [dictionary_size][s_h * s_w] fp32, a chunk of input channels with their halo, the chunk's dictionary.
// Load:    chunk of the input and of the dictionary, channel by channel, zero where padding lies.
// Compute: S += dictionary chunk x input chunk, four entries a thread; then each thread gathers for its pixel.
// Store:   lanes run over pixels, so rows of y are contiguous.
// Bound:   shared-memory loads of both stages, one barrier pair per chunk, no overlap of loads and arithmetic.
#include <algorithm>
#include <array>
#include <string>

#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/stage_shape.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEntries = 4;  // dictionary entries a thread sums at once

// Sizes of one block's tiles, in elements of 4 bytes.
struct Tile {
  int h, w;              // output pixels
  int s_h, s_w;          // positions of S under them
  int x_h, x_w;          // input pixels under those
  int chunk;             // input channels staged at once
  int entries;           // dictionary entries of a group, rounded up to kEntries

  Tile(const Conv2dProblem& dictionary_stage, const Conv2dProblem& lookup_stage, int tile_h, int tile_w,
       int channel_chunk)
      : h(tile_h), w(tile_w), s_h(reach(lookup_stage, 0, h)), s_w(reach(lookup_stage, 1, w)),
        x_h(reach(dictionary_stage, 0, s_h)), x_w(reach(dictionary_stage, 1, s_w)), chunk(channel_chunk),
        entries(static_cast<int>((dictionary_stage.out_channels_per_group() + kEntries - 1) / kEntries * kEntries)),
        dictionary_size(static_cast<int>(dictionary_stage.out_channels)), taps(static_cast<int>(dictionary_stage.taps())) {}

  __host__ __device__ int s_elements() const { return (dictionary_size * s_h * s_w + 3) / 4 * 4; }
  __host__ __device__ int d_elements() const { return chunk * taps * entries; }
  __host__ __device__ int x_elements() const { return chunk * x_h * x_w; }
  __host__ __device__ std::size_t bytes() const {
    return sizeof(float) * (static_cast<std::size_t>(s_elements()) + d_elements() + x_elements());
  }

 private:
  static int reach(const Conv2dProblem& stage, int axis, int outputs) {
    return static_cast<int>((outputs - 1) * stage.stride[axis] + (stage.kernel[axis] - 1) * stage.dilation[axis] + 1);
  }
  int dictionary_size, taps;
};

// Output tiles from large to small: 256 to 1 pixels. Larger ones share more of the halo and of the dictionary.
constexpr std::array<std::array<int, 2>, 8> kTileSizes{
    {{8, 32}, {4, 32}, {4, 16}, {4, 8}, {2, 8}, {1, 8}, {1, 4}, {1, 1}}};

// The largest tile that leaves room for two blocks a multiprocessor, else the largest that fits at all.
Tile choose_tile(const LookupProblem& problem, std::size_t shared_bytes) {
  const Conv2dProblem dictionary_stage = problem.dictionary_stage(), lookup_stage = problem.lookup_stage();
  for (const std::size_t limit : {shared_bytes / 2, shared_bytes}) {
    for (const auto& [h, w] : kTileSizes) {
      for (const int chunk : {8, 4, 1}) {
        const Tile tile(dictionary_stage, lookup_stage, h, w, chunk);
        const bool reasonable = h == 1 || (h < 2 * lookup_stage.out_height() && w < 2 * lookup_stage.out_width());
        if (reasonable && tile.bytes() <= limit) return tile;
      }
    }
  }
  return Tile(dictionary_stage, lookup_stage, 1, 1, 1);
}

// Chunk [first, first + count) of the group's channels: x_tile [chunk][x_h][x_w] from input row, column (top, left).
template <typename T>
__device__ void load_input(const StageShape& stage, const Tile& tile, const T* channels, int count, int top, int left,
                           float* x_tile) {
  const int plane = tile.x_h * tile.x_w;
  for (int i = threadIdx.x; i < count * plane; i += kThreads) {
    const int c = i / plane, h = top + i % plane / tile.x_w, w = left + i % plane % tile.x_w;
    const bool inside = h >= 0 && h < stage.height && w >= 0 && w < stage.width;
    x_tile[i] = inside ? to_float(channels[(static_cast<std::int64_t>(c) * stage.height + h) * stage.width + w]) : 0.0f;
  }
}

// d_tile [channel of the chunk][tap][entry of the group]; entries beyond the dictionary are zero.
template <typename T>
__device__ void load_dictionary(const StageShape& stage, const Tile& tile, const T* group_dictionary, int first,
                                int count, float* d_tile) {
  const int taps = stage.kernel_h * stage.kernel_w;
  for (int i = threadIdx.x; i < count * taps * tile.entries; i += kThreads) {
    const int e = i % tile.entries, tap = i / tile.entries;
    const std::int64_t source = (static_cast<std::int64_t>(e) * stage.in_channels_per_group + first) * taps + tap;
    d_tile[i] = e < stage.out_channels_per_group ? to_float(group_dictionary[source]) : 0.0f;
  }
}

// s_group [entry][position] += chunk of the dictionary x chunk of the input, for positions inside S.
__device__ void accumulate_input_dictionary(const StageShape& stage, const Tile& tile, int count, int s_top, int s_left,
                                            const float* x_tile, const float* d_tile, float* s_group) {
  const int positions = tile.s_h * tile.s_w;
  for (int i = threadIdx.x; i < tile.entries / kEntries * positions; i += kThreads) {
    const int position = i % positions, entry = i / positions * kEntries;
    const int row = position / tile.s_w, column = position % tile.s_w;
    if (s_top + row < 0 || s_top + row >= stage.out_height) continue;
    if (s_left + column < 0 || s_left + column >= stage.out_width) continue;
    float4 sum{};
    const float* values = d_tile + entry;
    for (int c = 0; c < count; ++c) {
      for (int r = 0; r < stage.kernel_h; ++r) {
        const float* in = x_tile + (c * tile.x_h + row * stage.stride_h + r * stage.dilation_h) * tile.x_w +
                          column * stage.stride_w;
        for (int s = 0; s < stage.kernel_w; ++s, values += tile.entries) {
          const float x = in[s * stage.dilation_w];
          const float4 d = *reinterpret_cast<const float4*>(values);
          sum.x += d.x * x;
          sum.y += d.y * x;
          sum.z += d.z * x;
          sum.w += d.w * x;
        }
      }
    }
    const float sums[kEntries]{sum.x, sum.y, sum.z, sum.w};
    for (int e = 0; e < kEntries; ++e) {
      if (entry + e < stage.out_channels_per_group) s_group[(entry + e) * positions + position] += sums[e];
    }
  }
}

template <typename T>
__device__ float gather(const StageShape& stage, const Tile& tile, const LookupView<T>& lookups, int channel,
                        const float* s_pixel) {
  const int positions = tile.s_h * tile.s_w;
  float sum = lookups.bias == nullptr ? 0.0f : to_float(lookups.bias[channel]);
  for (int r = 0; r < stage.kernel_h; ++r) {
    for (int s = 0; s < stage.kernel_w; ++s) {
      const float* at_tap = s_pixel + r * stage.dilation_h * tile.s_w + s * stage.dilation_w;
      const int position = (channel * stage.kernel_h + r) * stage.kernel_w + s;
      const int last = lookups.row_offsets[position + 1];
      for (int i = lookups.row_offsets[position]; i < last; ++i) {
        sum += to_float(lookups.coefficients[i]) * at_tap[lookups.indices[i] * positions];
      }
    }
  }
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    shared_tiled_kernel(StageShape dictionary_stage, StageShape lookup_stage, Tile tile, const T* __restrict__ x,
                        const T* __restrict__ dictionary, LookupView<T> lookups, T* __restrict__ y) {
  extern __shared__ float4 shared[];
  float* s_tile = reinterpret_cast<float*>(shared);
  float* d_tile = s_tile + tile.s_elements();
  float* x_tile = d_tile + tile.d_elements();

  const int first_row = blockIdx.y * tile.h, first_column = blockIdx.x * tile.w;
  const int s_top = first_row * lookup_stage.stride_h - lookup_stage.padding_h;
  const int s_left = first_column * lookup_stage.stride_w - lookup_stage.padding_w;
  const int top = s_top * dictionary_stage.stride_h - dictionary_stage.padding_h;
  const int left = s_left * dictionary_stage.stride_w - dictionary_stage.padding_w;
  const std::int64_t in_plane = static_cast<std::int64_t>(dictionary_stage.height) * dictionary_stage.width;
  const T* image = x + blockIdx.z * dictionary_stage.in_channels * in_plane;

  for (int i = threadIdx.x; i < tile.s_elements(); i += kThreads) s_tile[i] = 0.0f;
  const int channels = dictionary_stage.in_channels_per_group, group_entries = dictionary_stage.out_channels_per_group;
  const int entry_length = channels * dictionary_stage.kernel_h * dictionary_stage.kernel_w;
  for (int group = 0; group < dictionary_stage.in_channels / channels; ++group) {
    for (int first = 0; first < channels; first += tile.chunk) {
      const int count = min(tile.chunk, channels - first);
      __syncthreads();
      load_input(dictionary_stage, tile, image + (group * channels + first) * in_plane, count, top, left, x_tile);
      load_dictionary(dictionary_stage, tile, dictionary + static_cast<std::int64_t>(group) * group_entries * entry_length,
                      first, count, d_tile);
      __syncthreads();
      accumulate_input_dictionary(dictionary_stage, tile, count, s_top, s_left, x_tile, d_tile,
                                  s_tile + group * group_entries * tile.s_h * tile.s_w);
    }
  }
  __syncthreads();

  const int pixels = tile.h * tile.w, pixel = threadIdx.x % pixels;
  const int tile_row = pixel / tile.w, tile_column = pixel % tile.w;
  const int row = first_row + tile_row, column = first_column + tile_column;
  if (row >= lookup_stage.out_height || column >= lookup_stage.out_width) return;
  const float* s_pixel = s_tile + tile_row * lookup_stage.stride_h * tile.s_w + tile_column * lookup_stage.stride_w;
  const std::int64_t out_plane = static_cast<std::int64_t>(lookup_stage.out_height) * lookup_stage.out_width;
  T* out = y + blockIdx.z * lookup_stage.out_channels * out_plane + row * lookup_stage.out_width + column;
  for (int k = threadIdx.x / pixels; k < lookup_stage.out_channels; k += kThreads / pixels) {
    out[k * out_plane] = from_float<T>(gather(lookup_stage, tile, lookups, k, s_pixel));
  }
}

std::size_t shared_memory_limit() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "cudaDeviceGetAttribute");
  return static_cast<std::size_t>(bytes);
}

class SharedTiled final : public PreparedConvolution {
 public:
  SharedTiled(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout,
              const Execution& execution)
      : problem_(problem),
        precision_(precision),
        tile_(choose_tile(problem, shared_memory_limit())),
        dictionary_(upload_as(weights.dictionary, precision, MemoryKind::weights, execution)),
        lookups_(weights, precision, execution) {
    with_element(precision_, [&]<typename T>(T) {
      check(cudaFuncSetAttribute(shared_tiled_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared_memory_limit())), "raising the shared-memory limit");
    });
  }

  void run(const void* x, void* y, void* stream) override {
    const auto blocks = [](std::int64_t extent, int tile) { return static_cast<unsigned>((extent + tile - 1) / tile); };
    const dim3 grid(blocks(problem_.conv.out_width(), tile_.w), blocks(problem_.conv.out_height(), tile_.h),
                    static_cast<unsigned>(problem_.conv.batch));
    with_element(precision_, [&]<typename T>(T) {
      shared_tiled_kernel<T><<<grid, kThreads, tile_.bytes(), as_stream(stream)>>>(
          StageShape(problem_.dictionary_stage()), StageShape(problem_.lookup_stage()), tile_,
          static_cast<const T*>(x), dictionary_.as<T>(), lookups_.view<T>(), static_cast<T*>(y));
    });
    check_launch("shared_tiled_kernel");
  }

  std::string choice() const override {
    return "tile " + std::to_string(tile_.h) + "x" + std::to_string(tile_.w) + ", " + std::to_string(tile_.chunk) +
           " channels a chunk, " + std::to_string(tile_.bytes() / 1024) + " KiB shared";
  }

 private:
  LookupProblem problem_;
  Precision precision_;
  Tile tile_;
  Buffer dictionary_;
  DeviceLookups lookups_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (layout != Layout::nchw) return "channels-last is not supported, nchw is";
  if (problem.conv.batch > 65535) return "a batch above a grid's limit of 65535 is not supported";
  const std::size_t limit = shared_memory_limit(), needed = choose_tile(problem, limit).bytes();
  if (needed > limit) {
    return "the smallest tile needs " + std::to_string(needed / 1024) + " KiB of shared memory, the device has " +
           std::to_string(limit / 1024);
  }
  const std::string reason = why_not_tf32(precision);
  return reason.empty() ? why_not_16_bit_indices(problem) : reason;
}

}  // namespace

const Variant shared_tiled{.name = "shared_tiled",
                           .device = Device::cuda,
                           .why_unsupported = why_unsupported,
                           .prepare = prepare_as<SharedTiled>};

}  // namespace lcnn::cuda
