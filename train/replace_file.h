// Files that are replaced as a whole or not at all.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

namespace lcnn::train {

// Writes the parts one after the other into a file beside `file`, flushes them to the disk, and renames it. Throws
// std::runtime_error, one line that names `file` and the system's reason; what was there before is then intact.
void replace_file(const std::filesystem::path& file, std::span<const std::string_view> parts);

}  // namespace lcnn::train
