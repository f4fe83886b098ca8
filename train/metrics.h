// Metrics of a training: one JSON object a line, one line an epoch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace lcnn::train {

// Appends a line. Throws std::runtime_error, one line that names the file, when it cannot be written.
void append_metrics(const std::filesystem::path& file, const nlohmann::ordered_json& line);

// Drops the lines behind the first `epochs`, as a training that is continued after so many writes them anew. A file that is
// not there stays so.
void truncate_metrics(const std::filesystem::path& file, std::int64_t epochs);

}  // namespace lcnn::train
