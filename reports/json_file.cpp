#include "reports/json_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "reports/read_report.h"

namespace lcnn::reports {

JsonFile::JsonFile(const std::string& path)
    : path_(path), file_(std::fopen(path.c_str(), "rb")), buffer_(1 << 20) {
  if (!file_) throw UnusableInput(fmt::format("{}: {}", path, std::strerror(errno)));
  refill();
  if (next_ == end_) throw UnusableInput(fmt::format("{}: is empty", path));
}

void JsonFile::refill() {
  const std::size_t read = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
  if (read == 0 && std::ferror(file_.get()))
    throw UnusableInput(fmt::format("{}: {}", path_, std::strerror(errno)));
  next_ = buffer_.data();
  end_ = next_ + read;
}

}  // namespace lcnn::reports
