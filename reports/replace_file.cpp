#include "reports/replace_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "reports/read_report.h"

namespace lcnn::reports {

void replace_file(const std::string& path, const std::function<void(std::ostream&)>& write) {
  std::error_code failure;
  const bool special =
      std::filesystem::exists(path, failure) && !std::filesystem::is_regular_file(path, failure);
  const std::string aside = special ? path : path + ".tmp";
  {
    std::ofstream file(aside, std::ios::binary);
    if (file) write(file);
    file.flush();
    if (!file) {
      if (!special) std::filesystem::remove(aside, failure);
      throw UnusableInput(fmt::format("{}: cannot be written", path));
    }
  }
  if (special) return;
  std::filesystem::rename(aside, path, failure);
  if (failure) {
    std::error_code ignored;
    std::filesystem::remove(aside, ignored);
    throw UnusableInput(fmt::format("{}: cannot be written: {}", path, failure.message()));
  }
}

}  // namespace lcnn::reports
