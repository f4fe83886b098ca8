#include "train/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "reports/temporary_folder.h"
#include "train/image_test_files.h"

namespace lcnn::train {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class DecodeImage : public testing::Test {
 protected:
  Image decoded(const std::string& bytes) const { return decode_image(folder_.file("image", bytes)); }
  // What decoding it throws; it names the file first.
  std::string refusal(const std::string& bytes) const {
    try {
      decoded(bytes);
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), StartsWith((folder_ / "image") + ": "));
      return std::string(error.what()).substr((folder_ / "image: ").size());
    }
    return "was accepted";
  }

  TemporaryFolder folder_;
};

// Smooth, so that JPEG loses nothing that counts.
std::vector<std::uint8_t> gradient(int channels, int height, int width) {
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) pixels.push_back(static_cast<std::uint8_t>(40 * c + 3 * y + 2 * x));
    }
  }
  return pixels;
}

TEST_F(DecodeImage, JpegIsGreyOrRgb) {
  for (const int channels : {1, 3}) {
    const std::vector<std::uint8_t> pixels = gradient(channels, 21, 35);
    const Image image = decoded(jpeg_bytes(channels, 21, 35, pixels));
    ASSERT_EQ(image, (ImageShape{channels, 21, 35}));
    for (int c = 0; c < channels; ++c) {
      for (std::size_t i = 0; i < 21 * 35; ++i) {
        ASSERT_NEAR(image.pixels[static_cast<std::size_t>(c) * 21 * 35 + i], pixels[i * channels + c], 3) << c << " " << i;
      }
    }
  }
}

TEST_F(DecodeImage, CmykJpegBecomesRgb) {
  std::vector<std::uint8_t> pixels;
  for (int i = 0; i < 64; ++i) pixels.insert(pixels.end(), {200, 100, 0, 204});  // inverted: 255 is no ink
  const Image image = decoded(jpeg_bytes(4, 8, 8, pixels));
  ASSERT_EQ(image, (ImageShape{3, 8, 8}));
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_NEAR(image.pixels[i], 160, 2);
    EXPECT_NEAR(image.pixels[64 + i], 80, 2);
    EXPECT_NEAR(image.pixels[128 + i], 0, 2);
  }
}

TEST_F(DecodeImage, PngKeepsEveryPixel) {
  for (const bool interlaced : {false, true}) {
    const Image rgb = decoded(png_bytes({.interlaced = interlaced}, 2, {{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}, {13, 14, 15, 16, 17, 18}}));
    EXPECT_EQ(rgb, (ImageShape{3, 3, 2}));
    EXPECT_THAT(rgb.pixels, ElementsAre(1, 4, 7, 10, 13, 16, 2, 5, 8, 11, 14, 17, 3, 6, 9, 12, 15, 18));
  }
  const Image grey = decoded(png_bytes({.color_type = PNG_COLOR_TYPE_GRAY}, 3, {{0, 128, 255}}));
  EXPECT_EQ(grey, (ImageShape{1, 1, 3}));
  EXPECT_THAT(grey.pixels, ElementsAre(0, 128, 255));
}

TEST_F(DecodeImage, OtherPngFormatsBecomeBytes) {
  EXPECT_THAT(decoded(png_bytes({PNG_COLOR_TYPE_GRAY, 16}, 2, {{0x12, 0x12, 0xFF, 0xFF}})).pixels, ElementsAre(0x12, 0xFF));
  EXPECT_THAT(decoded(png_bytes({PNG_COLOR_TYPE_GRAY, 1}, 3, {{0b10100000}})).pixels, ElementsAre(255, 0, 255));
  EXPECT_THAT(decoded(png_bytes({PNG_COLOR_TYPE_PALETTE, 8, {{1, 2, 3}, {4, 5, 6}}}, 2, {{1, 0}})).pixels,
              ElementsAre(4, 1, 5, 2, 6, 3));
  EXPECT_THAT(decoded(png_bytes({PNG_COLOR_TYPE_RGB_ALPHA, 8}, 1, {{7, 8, 9, 0}})).pixels, ElementsAre(7, 8, 9));
  EXPECT_THAT(decoded(png_bytes({PNG_COLOR_TYPE_GRAY_ALPHA, 8}, 1, {{7, 100}})).pixels, ElementsAre(7));
}

TEST_F(DecodeImage, TruncatedFilesAreRefusedWhereverTheyEnd) {
  const std::string jpeg = jpeg_bytes(3, 40, 40, gradient(3, 40, 40));
  for (std::size_t size = 3; size + 2 < jpeg.size(); size += 7) {
    EXPECT_THAT(refusal(jpeg.substr(0, size)), StartsWith("it is a damaged JPEG file: ")) << size << " of " << jpeg.size();
  }
  const std::string png = png_bytes({.color_type = PNG_COLOR_TYPE_GRAY}, 3, {{0, 128, 255}});
  for (std::size_t size = 8; size < png.size(); ++size) {
    EXPECT_EQ(refusal(png.substr(0, size)), "it is a damaged PNG file: it ends early") << size << " of " << png.size();
  }
}

TEST_F(DecodeImage, DamagedFilesAreRefused) {
  std::string png = png_bytes({}, 2, {{1, 2, 3, 4, 5, 6}});
  png[png.find("IDAT") + 8] ^= 1;
  EXPECT_THAT(refusal(png), StartsWith("it is a damaged PNG file: "));
  std::string jpeg = jpeg_bytes(1, 8, 8, gradient(1, 8, 8));
  jpeg[jpeg.find("\xFF\xC0") + 4] = 17;  // bits of a sample
  EXPECT_THAT(refusal(jpeg), HasSubstr("precision 17"));
}

TEST_F(DecodeImage, HeadersThatAskForAllMemoryAreRefused) {
  std::string jpeg = jpeg_bytes(1, 8, 8, gradient(1, 8, 8));
  const std::size_t frame = jpeg.find("\xFF\xC0");
  jpeg.replace(frame + 5, 4, "\xFF\xDC\xFF\xDC");
  EXPECT_EQ(refusal(jpeg), "it has 65500x65500 pixels: up to 268435456 are read");
}

TEST_F(DecodeImage, OtherFilesAreRefused) {
  EXPECT_EQ(refusal(""), "it is empty");
  EXPECT_EQ(refusal("GIF89a"), "it is neither a JPEG nor a PNG file");
  try {
    decode_image(folder_ / "nothing");
    ADD_FAILURE() << "was accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(), (folder_ / "nothing") + ": it cannot be read: No such file or directory");
  }
}

TEST(WithChannels, ConvertsBothWays) {
  const Image grey{{1, 1, 2}, {10, 20}};
  EXPECT_THAT(with_channels(grey, 1).pixels, ElementsAre(10, 20));
  EXPECT_THAT(with_channels(grey, 3).pixels, ElementsAre(10, 20, 10, 20, 10, 20));
  const Image rgb{{3, 1, 4}, {255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255}};
  EXPECT_THAT(with_channels(rgb, 1).pixels, ElementsAre(76, 150, 29, 255));
}

TEST(ResizeImage, LeavesConstantsAndSizesAlone) {
  const Image image{{1, 5, 7}, std::vector<std::uint8_t>(35, 255)};
  EXPECT_THAT(resize_image(image, 3, 11).pixels, Each(255));
  const Image same = resize_image({{1, 1, 3}, {1, 2, 3}}, 1, 3);
  EXPECT_THAT(same.pixels, ElementsAre(1, 2, 3));
}

TEST(ResizeImage, AveragesWhatItShrinks) {
  // Halving weighs the four nearest pixels 1, 3, 3, 1; at the border those that there are.
  const Image half = resize_image({{1, 1, 8}, {0, 0, 0, 80, 160, 0, 0, 0}}, 1, 4);
  EXPECT_THAT(half.pixels, ElementsAre(0, 50, 70, 0));
}

}  // namespace
}  // namespace lcnn::train
