// Files that are read as a whole.
#pragma once

#include <filesystem>
#include <string>

namespace lcnn::train {

// The bytes of a file. Throws std::runtime_error, one line that names the file and the system's reason, when it cannot be read.
std::string read_file(const std::filesystem::path& file);

}  // namespace lcnn::train
