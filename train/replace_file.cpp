#include "train/replace_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace lcnn::train {
namespace {

// False, with errno set, when not all could be written.
bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

void replace_file(const std::filesystem::path& file, std::span<const std::string_view> parts) {
  const std::string aside = file.string() + ".new";
  const int descriptor = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool written = descriptor >= 0;
  for (const std::string_view part : parts) written = written && write_all(descriptor, part);
  written = written && ::fsync(descriptor) == 0;
  int reason = errno;
  if (descriptor >= 0 && ::close(descriptor) != 0 && written) {
    written = false;
    reason = errno;
  }
  if (written && ::rename(aside.c_str(), file.c_str()) != 0) {
    written = false;
    reason = errno;
  }
  if (written) return;
  if (descriptor >= 0) ::unlink(aside.c_str());
  throw std::runtime_error(fmt::format("{}: it cannot be written: {}", file.string(), std::strerror(reason)));
}

}  // namespace lcnn::train
