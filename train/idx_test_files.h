// IDX files that tests write.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace lcnn::train {

inline std::string idx_bytes(const std::vector<std::uint32_t>& extents, const std::string& values) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (const std::uint32_t extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift);
  }
  return bytes + values;
}

inline void write_bytes(const std::string& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

// One part of a data set in MNIST's layout whose classes are easily told apart: an image is dark but for one bright column in
// each half, chosen by its label, and some noise.
inline void write_idx_part(const std::string& folder, const std::string& part, std::uint32_t count, std::uint32_t extent) {
  std::string pixels, labels;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t label = i % 10;
    labels += static_cast<char>(label);
    for (std::uint32_t y = 0; y < extent; ++y) {
      for (std::uint32_t x = 0; x < extent; ++x) {
        const bool bright = x == (label < 5 ? label : label - 5) && (y < extent / 2) == (label < 5);
        pixels += static_cast<char>((bright ? 200 : 10) + (i * 7 + y * 5 + x * 3) % 31);
      }
    }
  }
  write_bytes(folder + "/" + part + "-images-idx3-ubyte", idx_bytes({count, extent, extent}, pixels));
  write_bytes(folder + "/" + part + "-labels-idx1-ubyte", idx_bytes({count}, labels));
}

// Both parts of one, of 12x12 pixels, in a folder that is made where it is not there.
inline void write_idx_set(const std::string& folder, std::uint32_t training, std::uint32_t validation) {
  std::filesystem::create_directory(folder);
  write_idx_part(folder, "train", training, 12);
  write_idx_part(folder, "t10k", validation, 12);
}

}  // namespace lcnn::train
