// What the generators of run-time-compiled kernels share.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/cuda/tile_sizes.h"
#include "kernels/problem.h"

namespace lcnn::cuda {

using SourceOut = std::back_insert_iterator<std::string>;

// What dictionary_tile.cuh calls the arithmetic of a precision.
inline std::string_view math_name(Precision precision) {
  switch (precision) {
    case Precision::fp32: return "Strict";
    case Precision::tf32: return "Tf32";
    case Precision::fp16: return "Half";
    case Precision::bf16: return "Bfloat";
  }
  return "?";
}

// One #define each, and MATH.
inline void write_constants(SourceOut out, Precision precision, const std::vector<std::pair<const char*, std::int64_t>>& constants) {
  for (const auto& [name, value] : constants) fmt::format_to(out, "#define {} {}\n", name, value);
  fmt::format_to(out, "#define MATH {}\n", math_name(precision));
}

}  // namespace lcnn::cuda
