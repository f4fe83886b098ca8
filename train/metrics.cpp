#include "train/metrics.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "train/replace_file.h"

namespace lcnn::train {

void append_metrics(const std::filesystem::path& file, const nlohmann::ordered_json& line) {
  std::ofstream stream(file, std::ios::app);
  stream << line.dump() << '\n' << std::flush;
  if (!stream) throw std::runtime_error(fmt::format("{}: it cannot be written: {}", file.string(), std::strerror(errno)));
}

void truncate_metrics(const std::filesystem::path& file, std::int64_t epochs) {
  std::ifstream stream(file);
  if (!stream) return;
  std::string kept, line;
  for (std::int64_t i = 0; i < epochs && std::getline(stream, line); ++i) kept += line + "\n";
  replace_file(file, std::array{std::string_view(kept)});
}

}  // namespace lcnn::train
