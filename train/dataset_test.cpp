#include "train/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "reports/temporary_folder.h"
#include "train/idx_test_files.h"

namespace lcnn::train {
namespace {

class IdxDataset : public testing::Test {
 protected:
  IdxDataset() { write_idx_set(folder_ / "", 20, 10); }
  // What reading it throws, without the folder.
  std::string refusal() const {
    try {
      read_idx_dataset(folder_ / "");
    } catch (const std::runtime_error& error) {
      return std::string(error.what()).substr((folder_ / "").size());
    }
    return "was accepted";
  }

  TemporaryFolder folder_;
};

TEST_F(IdxDataset, BothPartsAreRead) {
  const Dataset dataset = read_idx_dataset(folder_ / "");
  EXPECT_EQ(dataset.shape, (ImageShape{1, 12, 12}));
  EXPECT_EQ(dataset.classes, 10);
  EXPECT_EQ(dataset.training.pixels.size(), 20u * 144);
  EXPECT_EQ(dataset.training.labels.size(), 20u);
  EXPECT_EQ(dataset.validation.labels, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(IdxDataset, LabelsOutOfRangeAreRefused) {
  write_bytes(folder_ / "t10k-labels-idx1-ubyte", idx_bytes({10}, std::string(7, '\1') + "\12" + "\2\2"));
  EXPECT_EQ(refusal(), "t10k-labels-idx1-ubyte: label 7 is 10: 0 to 9 are accepted");
}

TEST_F(IdxDataset, EveryImageNeedsALabel) {
  write_bytes(folder_ / "train-labels-idx1-ubyte", idx_bytes({19}, std::string(19, '\1')));
  EXPECT_EQ(refusal(), "train-labels-idx1-ubyte: it has 19 labels: there are 20 images");
}

TEST_F(IdxDataset, ImagesAreOfOneSize) {
  write_idx_part(folder_ / "", "t10k", 10, 13);
  EXPECT_EQ(refusal(), ": training images are 12x12, validation images 13x13: they must be of one size");
}

TEST(Normalization, IsTakenFromEachChannel) {
  // Two images of two channels of two pixels.
  const ImageSet images{.pixels = {0, 255, 51, 51, 0, 255, 51, 51}, .labels = {0, 0}};
  const Normalization normalization = normalization_of(images, {2, 1, 2});
  EXPECT_DOUBLE_EQ(normalization.mean.at(0), 0.5);
  EXPECT_DOUBLE_EQ(normalization.deviation.at(0), 0.5);
  EXPECT_DOUBLE_EQ(normalization.mean.at(1), 0.2);
  EXPECT_DOUBLE_EQ(normalization.deviation.at(1), 1.0 / 255.0) << "a channel of one value";
}

TEST(FewExamples, AreOfEveryClassAndChosenByTheSeed) {
  Dataset dataset{.classes = 2, .labels = {{"cat", "dog"}}};
  for (int i = 0; i < 40; ++i) {
    dataset.training.labels.push_back(i % 2);
    dataset.training.pixels.push_back(static_cast<std::uint8_t>(i));
  }
  std::set<std::string> choices;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const ImageSet few = few_examples(dataset, 3, seed);
    EXPECT_EQ(few.pixels, few_examples(dataset, 3, seed).pixels);
    EXPECT_EQ(few.count(), 6);
    EXPECT_EQ(std::ranges::count(few.labels, 0), 3);
    for (std::size_t i = 0; i < few.labels.size(); ++i) EXPECT_EQ(few.pixels[i] % 2, few.labels[i]) << "images keep their labels";
    EXPECT_TRUE(std::ranges::is_sorted(few.pixels));
    EXPECT_EQ(std::ranges::adjacent_find(few.pixels), few.pixels.end());
    choices.emplace(few.pixels.begin(), few.pixels.end());
  }
  EXPECT_EQ(choices.size(), 5u);
  EXPECT_EQ(few_examples(dataset, 20, 1).pixels, dataset.training.pixels);
  const auto refusal = [&](std::int64_t count) {
    try {
      few_examples(dataset, count, 1);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("was accepted");
  };
  EXPECT_EQ(refusal(21), "--examples-per-class=21: class cat has 20 training images");
  dataset.labels.attributes = true;
  EXPECT_EQ(refusal(1), "--examples-per-class=1: these images have attributes, not classes");
}

}  // namespace
}  // namespace lcnn::train
