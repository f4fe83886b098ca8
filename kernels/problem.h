// What is computed: the shapes of a convolution and of the lookup convolution that replaces it.
//
// All sizes are counts of elements; spatial pairs are {height, width}. Names are torch.nn.Conv2d's, then the
// LCNN paper's (Bagherinezhad et al., CVPR 2017; US20200364499A1 equations 1-9).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace lcnn {

using Pair = std::array<std::int64_t, 2>;  // {height, width}

enum class Device { cpu, cuda };
enum class Precision { fp32, tf32, fp16, bf16 };
enum class Layout { nchw, nhwc };

// vector: D is 1x1 and P is kh x kw (the paper). filter: D is kh x kw and P is 1x1 (LCNN-pytorch).
enum class Granularity { vector, filter };

std::string_view to_string(Device device);
std::string_view to_string(Precision precision);
std::string_view to_string(Layout layout);
std::string_view to_string(Granularity granularity);

// Bytes of one stored element: 4 for fp32 and tf32, 2 for fp16 and bf16.
std::int64_t element_bytes(Precision precision);

// A dense convolution, fields and defaults as torch.nn.Conv2d's.
struct Conv2dProblem {
  std::int64_t batch = 1;
  std::int64_t in_channels = 1;
  std::int64_t height = 1;
  std::int64_t width = 1;
  std::int64_t out_channels = 1;
  Pair kernel{1, 1};
  Pair stride{1, 1};
  Pair padding{0, 0};
  Pair dilation{1, 1};
  std::int64_t groups = 1;
  bool bias = true;

  std::int64_t out_height() const { return out_extent(0, height); }
  std::int64_t out_width() const { return out_extent(1, width); }
  std::int64_t taps() const { return kernel[0] * kernel[1]; }
  std::int64_t in_channels_per_group() const { return in_channels / groups; }
  std::int64_t out_channels_per_group() const { return out_channels / groups; }
  std::int64_t input_elements() const { return batch * in_channels * height * width; }
  std::int64_t output_elements() const { return batch * out_channels * out_height() * out_width(); }
  std::int64_t weight_elements() const { return out_channels * in_channels_per_group() * taps(); }

  bool operator==(const Conv2dProblem&) const = default;

 private:
  std::int64_t out_extent(int axis, std::int64_t extent) const {
    return (extent + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1) / stride[axis] + 1;
  }
};

// A lookup convolution: Y = conv(S, P) + b with S = conv(X, D) (paper eq. 4-7).
//
// Both granularities are one computation of two stages; only their kernel extents differ. With groups, dictionary
// entry e belongs to group e / (dictionary_size / groups), as an output channel of a grouped convolution does, and
// an output channel looks up entries of its own group only: the whole equals Conv2d with the same groups.
struct LookupProblem {
  Conv2dProblem conv;
  std::int64_t dictionary_size = 1;
  Granularity granularity = Granularity::vector;

  // S = conv(X, D): out_channels = dictionary_size, no bias.
  Conv2dProblem dictionary_stage() const;
  // Y = conv(S, P) + b: in_channels = dictionary_size. Sparse: each (output channel, r, c) has its own lookups.
  Conv2dProblem lookup_stage() const;

  std::int64_t dictionary_size_per_group() const { return dictionary_size / conv.groups; }
  std::int64_t dictionary_elements() const { return dictionary_stage().weight_elements(); }

  bool operator==(const LookupProblem&) const = default;
};

// All that defines a problem in one line: "n1 64@224x224 -> 128 kernel 3x3 stride 1x1 padding 1x1 dilation 1x1 groups 1
// bias", and "filter dictionary of 10" behind it.
std::string to_string(const Conv2dProblem& problem);
std::string to_string(const LookupProblem& problem);

// Throw std::invalid_argument, one line that names the field, its value and what is accepted, when the problem
// cannot be computed: an extent below 1, groups that do not divide, a kernel larger than its padded input.
void validate(const Conv2dProblem& problem);
void validate(const LookupProblem& problem);

}  // namespace lcnn
