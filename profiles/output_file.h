// A file of results that is there as a whole or not at all.
#pragma once

#include <string>
#include <string_view>

namespace lcnn::profiles {

// Written beside its path, and renamed to it by finish(); what was there before stays until then, and when something fails.
class OutputFile {
 public:
  // Throws std::runtime_error, one line that names the path, when it cannot be written; so do write() and finish().
  OutputFile(std::string path, bool gzip);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view text);
  void finish();

 private:
  [[noreturn]] void fail() const;
  std::string path_, aside_;
  void* file_;  // zlib's gzFile, which also writes plain text
};

// Throws std::runtime_error, one line that begins with `shown` (the path, or the option that names it), when no file can be
// written there.
void require_writable(const std::string& path, const std::string& shown);

}  // namespace lcnn::profiles
