#include "train/idx.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <string>

namespace lcnn::train {
namespace {

namespace fs = std::filesystem;

class Idx : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  fs::path write_gzipped(const std::string& name, const std::string& bytes) const {
    const gzFile file = gzopen((folder_ / name).c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
    return folder_ / name;
  }
  // What the error says behind the folder's name; empty without one.
  std::string error_of(const fs::path& file, int dimensions) const {
    try {
      read_idx(file, dimensions);
    } catch (const std::runtime_error& error) {
      return std::string(error.what()).substr(folder_.string().size() + 1);
    }
    return {};
  }

  fs::path folder_ = fs::temp_directory_path() / ("lcnn_idx_test_" + std::to_string(getpid()));
  // [2, 2, 3], values 1 to 12.
  const std::string images_{"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x03\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c", 28};
};

TEST_F(Idx, ReadsPlainAndGzipped) {
  write_gzipped("b.gz", images_);
  for (const fs::path& file : {write("a", images_), folder_ / "b", folder_ / "b.gz"}) {
    const IdxArray array = read_idx(file, 3);
    EXPECT_EQ(array.extents, (std::vector<std::int64_t>{2, 2, 3}));
    ASSERT_EQ(array.values.size(), 12u);
    EXPECT_EQ(array.values.front(), 1);
    EXPECT_EQ(array.values.back(), 12);
  }
}

TEST_F(Idx, NamesTheFileAndWhatIsWrong) {
  EXPECT_EQ(error_of(folder_ / "none", 3), "none: neither it nor none.gz exists");
  EXPECT_EQ(error_of(write("text", "hello world"), 3), "text: it is no IDX file");
  EXPECT_EQ(error_of(write("empty", ""), 3), "empty: it is no IDX file");
  EXPECT_EQ(error_of(write("images", images_), 1), "images: it has 3 dimensions: 1 are expected");
  EXPECT_EQ(error_of(write("float", std::string("\0\0\x0d\x03", 4) + images_.substr(4)), 3),
            "float: its elements are of type 0x0d: unsigned bytes (0x08) are read");
  EXPECT_EQ(error_of(write("header", images_.substr(0, 9)), 3), "header: it ends within its header");
  EXPECT_EQ(error_of(write("short", images_.substr(0, 20)), 3), "short: it is truncated or damaged: 4 of 12 elements can be read");
  EXPECT_EQ(error_of(write("long", images_ + "x"), 3), "long: it goes on behind its 12 elements");
  EXPECT_EQ(error_of(write("huge", images_.substr(0, 4) + std::string(12, '\xff')), 3),
            "huge: extent 1 is 4294967295: no data set is that large or empty");
}

TEST_F(Idx, NoticesDamagedCompression) {
  const fs::path file = write_gzipped("images.gz", images_);
  fs::resize_file(file, fs::file_size(file) - 12);
  EXPECT_NE(error_of(file, 3).find("images.gz: it is truncated or damaged"), std::string::npos) << error_of(file, 3);
}

TEST(FashionMnist, TheDistributionsFilesAreRead) {
  const fs::path folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  const IdxArray images = read_idx(folder / "t10k-images-idx3-ubyte", 3), labels = read_idx(folder / "t10k-labels-idx1-ubyte", 1);
  EXPECT_EQ(images.extents, (std::vector<std::int64_t>{10000, 28, 28}));
  EXPECT_EQ(labels.extents, (std::vector<std::int64_t>{10000}));
  for (int digit = 0; digit < 10; ++digit) EXPECT_EQ(std::ranges::count(labels.values, digit), 1000) << digit;
}

}  // namespace
}  // namespace lcnn::train
