#include "train/read_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace lcnn::train {

std::string read_file(const std::filesystem::path& file) {
  const auto refuse = [&](const std::string& reason) {
    throw std::runtime_error(fmt::format("{}: it cannot be read: {}", file.string(), reason));
  };
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error) refuse(error.message());
  std::ifstream stream(file, std::ios::binary);
  if (!stream) refuse(std::strerror(errno));
  std::string bytes(size, '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(size));
  if (stream.gcount() != static_cast<std::streamsize>(size)) refuse("it ends early");
  return bytes;
}

}  // namespace lcnn::train
