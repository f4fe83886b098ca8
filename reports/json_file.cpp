#include "reports/json_file.h"

#include <fmt/format.h>

#include <algorithm>
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
  if (end_ != nullptr) bytes_before_ += static_cast<std::size_t>(end_ - buffer_.data());
  lines_before_ +=
      std::count(static_cast<const char*>(buffer_.data()), end_ == nullptr ? buffer_.data() : end_, '\n');
  const std::size_t read = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
  if (read == 0 && std::ferror(file_.get()))
    throw UnusableInput(fmt::format("{}: {}", path_, std::strerror(errno)));
  next_ = buffer_.data();
  end_ = next_ + read;
}

std::size_t JsonFile::line() const {
  return 1 + lines_before_ + std::count(static_cast<const char*>(buffer_.data()), next_, '\n');
}

// nlohmann says "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while ...";
// its lines do not count what was skipped.
std::string JsonFile::not_json(const std::string& error) const {
  const std::size_t end = error.find(": ");
  return fmt::format("{}: is no JSON: line {}: {}", path_, line(),
                     end == std::string::npos ? error : error.substr(end + 2));
}

void JsonFile::skip_array() {
  int depth = 0;
  bool in_string = false, escaped = false;
  while (next_ != end_) {
    const char c = *next_;
    if (in_string) {
      if (!escaped && c == '"') in_string = false;
      escaped = !escaped && c == '\\';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      if (depth-- == 0) return;
    }
    if (++next_ == end_) refill();
  }
}

}  // namespace lcnn::reports
