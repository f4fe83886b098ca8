#include "profiles/output_file.h"

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <stdexcept>
#include <utility>

namespace lcnn::profiles {
namespace {
gzFile gz(void* file) { return static_cast<gzFile>(file); }
}  // namespace

OutputFile::OutputFile(std::string path, bool gzip)
    : path_(std::move(path)), aside_(path_ + ".tmp"), file_(gzopen(aside_.c_str(), gzip ? "wb" : "wbT")) {
  if (file_ == nullptr) fail();
}

OutputFile::~OutputFile() {
  if (file_ == nullptr) return;
  gzclose(gz(file_));
  std::error_code ignored;
  std::filesystem::remove(aside_, ignored);
}

void OutputFile::write(std::string_view text) {
  if (gzwrite(gz(file_), text.data(), static_cast<unsigned>(text.size())) != static_cast<int>(text.size())) fail();
}

void OutputFile::finish() {
  std::error_code error;
  if (gzclose(gz(std::exchange(file_, nullptr))) == Z_OK) {
    std::filesystem::rename(aside_, path_, error);
  } else {
    error = std::make_error_code(std::errc::io_error);
  }
  if (!error) return;
  std::filesystem::remove(aside_, error);
  fail();
}

void OutputFile::fail() const { throw std::runtime_error(fmt::format("{}: it cannot be written there", path_)); }

void require_writable(const std::string& path, const std::string& shown) {
  const std::filesystem::path target(path);
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : ".";
  if (std::filesystem::is_directory(target) || access(folder.c_str(), W_OK) != 0) {
    throw std::runtime_error(fmt::format("{}: its folder cannot be written to, or it is a folder", shown));
  }
}

}  // namespace lcnn::profiles
