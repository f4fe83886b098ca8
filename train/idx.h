// IDX, the format of MNIST and Fashion-MNIST: arrays of unsigned bytes, plain or gzipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lcnn::train {

struct IdxArray {
  std::vector<std::int64_t> extents;  // images: [count, height, width]; labels: [count]
  std::vector<std::uint8_t> values;   // row-major
};

// The array in `file` that has `dimensions` dimensions; where only `file`.gz exists, that one is read. Throws
// std::runtime_error, one line that names the file, when it is missing, of another type, truncated, or longer than it says.
IdxArray read_idx(const std::filesystem::path& file, int dimensions);

}  // namespace lcnn::train
