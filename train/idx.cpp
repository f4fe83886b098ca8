#include "train/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>
#include <string>

namespace lcnn::train {
namespace {

constexpr std::uint8_t kUnsignedByte = 0x08;
constexpr std::int64_t kMostElements = std::int64_t{1} << 32;  // a damaged header must not ask for all memory

// A file that zlib reads, gzipped or plain.
class ByteReader {
 public:
  explicit ByteReader(const std::filesystem::path& file) : name_(file.string()), file_(gzopen(file.c_str(), "rb"), gzclose) {
    if (file_ == nullptr) fail("it cannot be opened");
  }

  [[noreturn]] void fail(const std::string& reason) const { throw std::runtime_error(name_ + ": " + reason); }

  // Reads up to `count` bytes; fewer where the file ends, or where it is damaged.
  std::int64_t read(std::uint8_t* bytes, std::int64_t count) {
    constexpr std::int64_t kMostAtOnce = 1 << 30;  // gzread takes and returns an int
    std::int64_t done = 0;
    while (done < count) {
      const int got = gzread(file_.get(), bytes + done, static_cast<unsigned>(std::min(count - done, kMostAtOnce)));
      if (got <= 0) break;
      done += got;
    }
    return done;
  }

 private:
  std::string name_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

std::filesystem::path plain_or_gzipped(const std::filesystem::path& file) {
  std::filesystem::path gzipped = file;
  gzipped += ".gz";
  return !std::filesystem::exists(file) && std::filesystem::exists(gzipped) ? gzipped : file;
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& file, int dimensions) {
  if (!std::filesystem::exists(plain_or_gzipped(file))) {
    throw std::runtime_error(file.string() + ": neither it nor " + file.filename().string() + ".gz exists");
  }
  ByteReader reader(plain_or_gzipped(file));
  // Two zeros, the element type, the number of dimensions; then the extents as big-endian 32-bit numbers.
  std::array<std::uint8_t, 4> magic{};
  if (reader.read(magic.data(), 4) != 4 || magic[0] != 0 || magic[1] != 0) reader.fail("it is no IDX file");
  if (magic[2] != kUnsignedByte) reader.fail(fmt::format("its elements are of type 0x{:02x}: unsigned bytes (0x08) are read", magic[2]));
  if (magic[3] != dimensions) reader.fail(fmt::format("it has {} dimensions: {} are expected", magic[3], dimensions));
  IdxArray array;
  std::int64_t elements = 1;
  for (int i = 0; i < dimensions; ++i) {
    std::array<std::uint8_t, 4> extent{};
    if (reader.read(extent.data(), 4) != 4) reader.fail("it ends within its header");
    const std::int64_t value = extent[0] << 24 | extent[1] << 16 | extent[2] << 8 | extent[3];
    array.extents.push_back(value & 0xFFFFFFFF);
    if (array.extents.back() == 0 || array.extents.back() > kMostElements / elements) {
      reader.fail(fmt::format("extent {} is {}: no data set is that large or empty", i, array.extents.back()));
    }
    elements *= array.extents.back();
  }
  array.values.resize(elements);
  const std::int64_t got = reader.read(array.values.data(), elements);
  if (got != elements) reader.fail(fmt::format("it is truncated or damaged: {} of {} elements can be read", got, elements));
  std::uint8_t beyond;
  if (reader.read(&beyond, 1) != 0) reader.fail(fmt::format("it goes on behind its {} elements", elements));
  return array;
}

}  // namespace lcnn::train
