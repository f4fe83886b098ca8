#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "train/celeba_test_files.h"
#include "train/dataset.h"

namespace lcnn::train {
namespace {

using testing::ElementsAre;

namespace fs = std::filesystem;

class CelebaDataset : public testing::Test {
 protected:
  CelebaDataset() { write_celeba(folder_, {3, 2, 1}); }
  // Replaces a text in a file of the data set.
  void change(const std::string& name, const std::string& from, const std::string& to) const {
    std::string text = read_text(folder_ / name);
    const std::size_t place = text.find(from);
    ASSERT_NE(place, text.npos);
    folder_.file(name, text.replace(place, from.size(), to));
  }
  // Without the folder, in which the data set is whole again afterwards.
  std::string refusal() const {
    std::string message = "was accepted";
    try {
      read_celeba_dataset(folder_ / "");
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    for (std::size_t place; (place = message.find(folder_ / "")) != message.npos;) message.erase(place, (folder_ / "").size());
    write_celeba(folder_, {3, 2, 1});
    return message;
  }

  TemporaryFolder folder_;
};

TEST_F(CelebaDataset, PartsAndAttributesAreRead) {
  const Dataset dataset = read_celeba_dataset(folder_ / "");
  EXPECT_EQ(dataset.classes, 3);
  EXPECT_TRUE(dataset.labels.attributes);
  EXPECT_THAT(dataset.labels.names, ElementsAre("5_o_Clock_Shadow", "Reddish", "Young"));
  EXPECT_THAT(dataset.training.files, ElementsAre(folder_ / "img_align_celeba/000001.jpg", folder_ / "img_align_celeba/000002.jpg",
                                                  folder_ / "img_align_celeba/000003.jpg"));
  EXPECT_THAT(dataset.training.attributes, ElementsAre(1, 0, 0, 0, 1, 0, 1, 1, 0));
  EXPECT_EQ(dataset.validation.count(), 2);
  EXPECT_THAT(dataset.validation.attributes, ElementsAre(0, 0, 1, 1, 0, 1));
  EXPECT_THAT(dataset.test.files, ElementsAre(folder_ / "img_align_celeba/000006.jpg"));
  EXPECT_THAT(dataset.test.attributes, ElementsAre(0, 1, 1));
  EXPECT_TRUE(dataset.training.labels.empty());
}

TEST_F(CelebaDataset, LinesMayEndAsWindowsEndsThem) {
  for (const char* const name : {"list_attr_celeba.txt", "list_eval_partition.txt"}) {
    std::string text;
    for (const char c : read_text(folder_ / name)) text += c == '\n' ? std::string("\r\n") : std::string(1, c);
    folder_.file(name, text);
  }
  EXPECT_THAT(read_celeba_dataset(folder_ / "").validation.attributes, ElementsAre(0, 0, 1, 1, 0, 1));
}

TEST_F(CelebaDataset, WhatIsMissingIsNamed) {
  fs::remove(folder_ / "list_attr_celeba.txt");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: it cannot be read: No such file or directory");
  fs::remove(folder_ / "list_eval_partition.txt");
  EXPECT_EQ(refusal(), "list_eval_partition.txt: it cannot be read: No such file or directory");
  fs::remove(folder_ / "img_align_celeba/000004.jpg");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 6: its image is missing: img_align_celeba/000004.jpg");
  change("list_eval_partition.txt", "000002.jpg 0\n", "");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 4: 000002.jpg has no line in list_eval_partition.txt");
  change("list_eval_partition.txt", "000002.jpg 0\n", "000002.jpg 0\n000009.jpg 0\n");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: it has no line for 000009.jpg, which list_eval_partition.txt lists");
  for (const char* const image : {"000004.jpg 1", "000005.jpg 1"}) change("list_eval_partition.txt", image, std::string(image, 10) + " 2");
  EXPECT_EQ(refusal(), "list_eval_partition.txt: it has no image of part 1 (validation)");
}

TEST_F(CelebaDataset, DamagedLinesAreNamed) {
  change("list_attr_celeba.txt", "000003.jpg  1  1 -1", "000003.jpg  1  1");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 5: 000003.jpg has 2 values: one for each of the 3 attributes is expected");
  change("list_attr_celeba.txt", "000003.jpg  1  1 -1", "000003.jpg  1  1 -1 -1");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 5: 000003.jpg has 4 values: one for each of the 3 attributes is expected");
  change("list_attr_celeba.txt", "000003.jpg  1  1 -1", "000003.jpg  1  0 -1");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 5: 000003.jpg has 0 for Reddish: 1 and -1 are accepted");
  change("list_attr_celeba.txt", "000003.jpg", "000002.jpg");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 5: 000002.jpg has a line already");
  change("list_attr_celeba.txt", "6\n", "7\n");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: it has lines for 6 images: its first line says 7");
  change("list_attr_celeba.txt", "6\n", "");
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 1: the number of images is expected");
  folder_.file("list_attr_celeba.txt", std::string("6\n"));
  EXPECT_EQ(refusal(), "list_attr_celeba.txt: line 2: the attributes' names are expected");
  change("list_eval_partition.txt", "000003.jpg 0", "000003.jpg 3");
  EXPECT_EQ(refusal(), "list_eval_partition.txt: line 3: 000003.jpg is of part 3: 0 (training), 1 (validation) and 2 (test) are accepted");
  change("list_eval_partition.txt", "000003.jpg 0", "000003.jpg");
  EXPECT_EQ(refusal(), "list_eval_partition.txt: line 3: it has 1 words: an image and its part are expected");
  change("list_eval_partition.txt", "000003.jpg", "000001.jpg");
  EXPECT_EQ(refusal(), "list_eval_partition.txt: line 3: 000001.jpg has a line already");
  EXPECT_EQ(refusal(), "was accepted");
}

}  // namespace
}  // namespace lcnn::train
