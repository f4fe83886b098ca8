#include <gtest/gtest.h>

#include <stdexcept>

#include "reports/temporary_folder.h"
#include "train/dataset.h"

namespace lcnn::train {
namespace {

namespace fs = std::filesystem;

class FolderDataset : public testing::Test {
 protected:
  FolderDataset() {
    for (const char* const name : {"train/b", "train/a", "val/b"}) fs::create_directories(folder_ / name);
    for (const char* const name : {"train/b/2.JPEG", "train/b/1.png", "train/b/notes.txt", "train/a/0.jpg", "val/b/3.jpg"}) folder_.file(name, std::string());
  }
  std::string refusal() const {
    try {
      read_folder_dataset(folder_ / "");
    } catch (const std::runtime_error& error) {
      return std::string(error.what()).substr((folder_ / "").size());
    }
    return "was accepted";
  }

  TemporaryFolder folder_;
};

TEST_F(FolderDataset, ClassesAndImagesAreSorted) {
  const Dataset dataset = read_folder_dataset(folder_ / "");
  EXPECT_EQ(dataset.classes, 2);
  EXPECT_EQ(dataset.labels.names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(dataset.training.files, (std::vector<fs::path>{folder_ / "train/a/0.jpg", folder_ / "train/b/1.png", folder_ / "train/b/2.JPEG"}));
  EXPECT_EQ(dataset.training.labels, (std::vector<std::int64_t>{0, 1, 1}));
  EXPECT_EQ(dataset.validation.labels, (std::vector<std::int64_t>{1}));
}

TEST_F(FolderDataset, WhatIsMissingIsNamed) {
  fs::create_directory(folder_ / "val/c");
  EXPECT_EQ(refusal(), "val/c: it is no class: " + (folder_ / "train") + " has none of that name");
  fs::remove(folder_ / "val/b/3.jpg");
  EXPECT_EQ(refusal(), "val/b: it has no image: .jpg, .jpeg and .png are read");
  fs::remove_all(folder_ / "train/a");
  fs::remove_all(folder_ / "train/b");
  EXPECT_EQ(refusal(), "train: it has no folders: one for each class is expected");
  fs::remove_all(folder_ / "train");
  EXPECT_EQ(refusal(), "train: it cannot be read: No such file or directory");
}

}  // namespace
}  // namespace lcnn::train
