// Files of named tensors in the safetensors format: the header's length (8 bytes, little-endian), a JSON header, the data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace lcnn::train {

struct StoredTensor {
  std::string name, type;  // "F32", "F64", "I32", "I64" or "U8"
  std::vector<std::int64_t> shape;
  std::string bytes;  // row-major, little-endian
};

struct TensorFile {
  std::map<std::string, std::string> metadata;
  std::vector<StoredTensor> tensors;

  // nullptr when there is none of that name.
  const StoredTensor* find(const std::string& name) const;
};

// Replaces `file` as a whole (replace_file.h). Throws std::runtime_error, one line, when it cannot be written.
void write_safetensors(const std::filesystem::path& file, TensorFile content);

// Throws std::runtime_error, one line that names the file, when it is missing, truncated, damaged, or holds tensors of a type
// that is not listed above.
TensorFile read_safetensors(const std::filesystem::path& file);

}  // namespace lcnn::train
