#include "kernels/problem.h"

#include <fmt/format.h>

#include <stdexcept>

namespace lcnn {
namespace {

void require(bool accepted, std::string message) {
  if (!accepted) throw std::invalid_argument(std::move(message));
}

void require_at_least(std::string_view field, std::int64_t value, std::int64_t least) {
  require(value >= least, fmt::format("{} is {}: it must be at least {}", field, value, least));
}

void require_divides(std::string_view field, std::int64_t value, std::int64_t groups) {
  require(value % groups == 0, fmt::format("groups {} does not divide {} {}", groups, field, value));
}

}  // namespace

std::string_view to_string(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

std::string_view to_string(Precision precision) {
  switch (precision) {
    case Precision::fp32: return "fp32";
    case Precision::tf32: return "tf32";
    case Precision::fp16: return "fp16";
    case Precision::bf16: return "bf16";
  }
  return "?";
}

std::string_view to_string(Layout layout) { return layout == Layout::nchw ? "nchw" : "nhwc"; }

std::string_view to_string(Granularity granularity) {
  return granularity == Granularity::vector ? "vector" : "filter";
}

std::string to_string(const Conv2dProblem& problem) {
  const auto pair = [](const Pair& values) { return fmt::format("{}x{}", values[0], values[1]); };
  return fmt::format("n{} {}@{}x{} -> {} kernel {} stride {} padding {} dilation {} groups {}{}", problem.batch,
                     problem.in_channels, problem.height, problem.width, problem.out_channels, pair(problem.kernel),
                     pair(problem.stride), pair(problem.padding), pair(problem.dilation), problem.groups,
                     problem.bias ? " bias" : "");
}

std::string to_string(const LookupProblem& problem) {
  return fmt::format("{} {} dictionary of {}", to_string(problem.conv), to_string(problem.granularity), problem.dictionary_size);
}

std::int64_t element_bytes(Precision precision) {
  return precision == Precision::fp32 || precision == Precision::tf32 ? 4 : 2;
}

Conv2dProblem LookupProblem::dictionary_stage() const {
  Conv2dProblem stage = conv;
  stage.out_channels = dictionary_size;
  stage.bias = false;
  if (granularity == Granularity::vector) {
    stage.kernel = stage.stride = stage.dilation = {1, 1};
    stage.padding = {0, 0};
  }
  return stage;
}

Conv2dProblem LookupProblem::lookup_stage() const {
  Conv2dProblem stage = conv;
  stage.in_channels = dictionary_size;
  if (granularity == Granularity::filter) {
    stage.height = conv.out_height();
    stage.width = conv.out_width();
    stage.kernel = stage.stride = stage.dilation = {1, 1};
    stage.padding = {0, 0};
  }
  return stage;
}

void validate(const Conv2dProblem& problem) {
  require_at_least("batch", problem.batch, 1);
  require_at_least("in_channels", problem.in_channels, 1);
  require_at_least("out_channels", problem.out_channels, 1);
  require_at_least("height", problem.height, 1);
  require_at_least("width", problem.width, 1);
  require_at_least("groups", problem.groups, 1);
  constexpr std::array<std::string_view, 2> kAxis{"height", "width"};
  const Pair extent{problem.height, problem.width};
  for (int axis = 0; axis < 2; ++axis) {
    require_at_least(fmt::format("kernel {}", kAxis[axis]), problem.kernel[axis], 1);
    require_at_least(fmt::format("stride {}", kAxis[axis]), problem.stride[axis], 1);
    require_at_least(fmt::format("padding {}", kAxis[axis]), problem.padding[axis], 0);
    require_at_least(fmt::format("dilation {}", kAxis[axis]), problem.dilation[axis], 1);
    const std::int64_t reach = problem.dilation[axis] * (problem.kernel[axis] - 1) + 1;
    const std::int64_t padded = extent[axis] + 2 * problem.padding[axis];
    require(reach <= padded,
            fmt::format("kernel {} {} with dilation {} reaches over {} elements: the padded input has {}",
                        kAxis[axis], problem.kernel[axis], problem.dilation[axis], reach, padded));
  }
  require_divides("in_channels", problem.in_channels, problem.groups);
  require_divides("out_channels", problem.out_channels, problem.groups);
}

void validate(const LookupProblem& problem) {
  validate(problem.conv);
  require_at_least("dictionary_size", problem.dictionary_size, 1);
  require_divides("dictionary_size", problem.dictionary_size, problem.conv.groups);
}

}  // namespace lcnn
