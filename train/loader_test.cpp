#include "train/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <stdexcept>

#include "reports/temporary_folder.h"
#include "train/image_test_files.h"

namespace lcnn::train {
namespace {

using testing::ElementsAre;

ImageSet numbered(std::int64_t count) {
  ImageSet set;
  for (std::int64_t i = 0; i < count; ++i) {
    for (int pixel = 1; pixel <= 4; ++pixel) set.pixels.push_back(static_cast<std::uint8_t>(4 * i + pixel));
    set.labels.push_back(0);
  }
  return set;
}

std::vector<std::uint8_t> all_of(const ImageSet& set, const View& view, const std::vector<std::int64_t>& order, std::int64_t batch,
                                 std::int64_t first, int threads) {
  Loader loader(set, view, order, batch, first, threads);
  std::vector<std::uint8_t> pixels;
  const auto batches = (static_cast<std::int64_t>(order.size()) + batch - 1) / batch;
  for (std::int64_t i = first; i < batches; ++i) {
    const auto next = loader.next();
    pixels.insert(pixels.end(), next.begin(), next.end());
  }
  return pixels;
}

TEST(Loader, GivesTheOrderWhateverTheThreads) {
  const ImageSet set = numbered(60);
  std::vector<std::int64_t> order(60);
  for (std::int64_t i = 0; i < 60; ++i) order[static_cast<std::size_t>(i)] = (i * 7) % 60;
  std::vector<std::uint8_t> expected;
  for (const std::int64_t i : order) expected.insert(expected.end(), set.pixels.begin() + 4 * i, set.pixels.begin() + 4 * i + 4);
  for (const int threads : {1, 2, 7}) {
    for (const std::int64_t batch : {1, 9, 20, 100}) EXPECT_EQ(all_of(set, {{1, 2, 2}}, order, batch, 0, threads), expected) << batch;
    EXPECT_EQ(all_of(set, {{1, 2, 2}}, order, 9, 3, threads), std::vector(expected.begin() + 4 * 27, expected.end()));
    const View varied{{1, 2, 2}, {1, 0.5}, Draw{1, 0}};
    EXPECT_EQ(all_of(set, varied, order, 9, 0, threads), all_of(set, varied, order, 9, 0, 1));
  }
}

TEST(Loader, AnEndBeforeTheLastBatchWaitsForNobody) {
  const ImageSet set = numbered(60);
  std::vector<std::int64_t> order(60, 5);
  Loader loader(set, {{1, 2, 2}}, order, 2, 0, 3);
  EXPECT_THAT(loader.next(), ElementsAre(21, 22, 23, 24, 21, 22, 23, 24));
}

TEST(Loader, ADamagedFileFailsItsBatchOnly) {
  const TemporaryFolder folder;
  ImageSet set{.labels = {0, 0, 0}};
  for (const char* const name : {"0", "1"}) {
    set.files.emplace_back(folder.file(name, png_bytes({.color_type = PNG_COLOR_TYPE_GRAY}, 2, {{50, 50}, {50, 50}})));
  }
  set.files.emplace_back(folder.file("2", std::string("GIF89a")));
  Loader loader(set, {{3, 2, 2}}, {0, 1, 2}, 1, 0, 3);
  EXPECT_EQ(loader.next().size(), 12u);
  EXPECT_THAT(loader.next(), testing::Each(50));
  try {
    loader.next();
    ADD_FAILURE() << "was accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(), (folder / "2") + ": it is neither a JPEG nor a PNG file");
  }
}

TEST(LoadImage, FilesAreResizedByTheShorterSideAndCropped) {
  const TemporaryFolder folder;
  const std::string bytes = png_bytes({.color_type = PNG_COLOR_TYPE_GRAY}, 6, {{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}});
  const ImageSet set{.labels = {0}, .files = {folder.file("wide", bytes)}};
  std::vector<std::uint8_t> pixels(4);
  load_image(set, {{1, 2, 2}}, 0, pixels.data());
  EXPECT_THAT(pixels, ElementsAre(3, 4, 9, 10)) << "the middle";
}

TEST(LoadImage, FilesAreStretchedWhateverTheirProportions) {
  const TemporaryFolder folder;
  const std::string bytes = png_bytes({.color_type = PNG_COLOR_TYPE_GRAY}, 6, {{10, 20, 30, 40, 50, 60}, {70, 80, 90, 100, 110, 120}});
  const ImageSet set{.labels = {0}, .files = {folder.file("wide", bytes)}};
  std::vector<std::uint8_t> pixels(4);
  load_image(set, {.shape = {1, 2, 2}, .resize = Resize::stretch}, 0, pixels.data());
  EXPECT_EQ(pixels, resize_image(decode_image(set.files[0]), 2, 2).pixels);
  load_image(set, {.shape = {1, 2, 2}, .augmentation = {.crop = 1}, .resize = Resize::stretch}, 0, pixels.data());
  const Image larger = resize_image(decode_image(set.files[0]), 4, 4);
  EXPECT_THAT(pixels, ElementsAre(larger.pixels[5], larger.pixels[6], larger.pixels[9], larger.pixels[10])) << "the middle";
}

TEST(Augmentation, WindowsCopyPadAndFlip) {
  const std::vector<std::uint8_t> pixels{1, 2, 3, 4};
  std::vector<std::uint8_t> to(4);
  copy_window(pixels.data(), {1, 2, 2}, {0, 0, true}, {1, 2, 2}, to.data());
  EXPECT_THAT(to, ElementsAre(2, 1, 4, 3));
  copy_window(pixels.data(), {1, 2, 2}, {-1, 1, false}, {1, 2, 2}, to.data());
  EXPECT_THAT(to, ElementsAre(0, 0, 2, 0));
  copy_window(pixels.data(), {1, 2, 2}, {1, -1, true}, {1, 2, 2}, to.data());
  EXPECT_THAT(to, ElementsAre(3, 0, 0, 0));
}

TEST(Augmentation, DependsOnSeedEpochAndImageOnly) {
  const ImageShape shape{1, 32, 32};
  const auto place = [&](std::uint64_t seed, std::uint64_t epoch, std::uint64_t index) {
    const Window window = choose_window(shape, shape, 4, 0.5, Draw{seed, epoch}, index);
    return std::array<std::int64_t, 3>{window.top, window.left, window.flipped};
  };
  std::set<std::int64_t> tops, lefts;
  int flips = 0, same_epoch = 0, same_seed = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(place(1, 2, i), place(1, 2, i));
    const auto [top, left, flipped] = place(1, 2, i);
    tops.insert(top);
    lefts.insert(left);
    flips += static_cast<int>(flipped);
    same_epoch += place(1, 2, i) == place(1, 3, i);
    same_seed += place(1, 2, i) == place(2, 2, i);
  }
  EXPECT_THAT(tops, ElementsAre(-4, -3, -2, -1, 0, 1, 2, 3, 4));
  EXPECT_EQ(lefts, tops);
  EXPECT_NEAR(flips, 500, 80);
  EXPECT_LT(same_epoch, 50);
  EXPECT_LT(same_seed, 50);
}

}  // namespace
}  // namespace lcnn::train
