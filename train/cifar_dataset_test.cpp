#include <gtest/gtest.h>

#include <stdexcept>

#include "reports/temporary_folder.h"
#include "train/dataset.h"

namespace lcnn::train {
namespace {

// A record whose channels are of one value each: 1, 2, 3 times `value`.
std::string record(const std::string& label, char value) {
  std::string bytes = label;
  for (int channel = 1; channel <= 3; ++channel) bytes += std::string(1024, static_cast<char>(channel * value));
  return bytes;
}

class CifarDataset : public testing::Test {
 protected:
  CifarDataset() {
    for (char i = 1; i <= 5; ++i) folder_.file("data_batch_" + std::to_string(i) + ".bin", record({i}, i));
    folder_.file("test_batch.bin", record({9}, 7) + record({0}, 8));
    folder_.file("train.bin", record({19, 99}, 1));
    folder_.file("test.bin", record({1, 2}, 1));
  }
  std::string refusal(Dataset (*read)(const std::filesystem::path&)) const {
    try {
      read(folder_ / "");
    } catch (const std::runtime_error& error) {
      return std::string(error.what()).substr((folder_ / "").size());
    }
    return "was accepted";
  }

  TemporaryFolder folder_;
};

TEST_F(CifarDataset, TheBatchesOfCifar10AreJoined) {
  const Dataset dataset = read_cifar10_dataset(folder_ / "");
  EXPECT_EQ(dataset.shape, (ImageShape{3, 32, 32}));
  EXPECT_EQ(dataset.classes, 10);
  EXPECT_EQ(dataset.training.labels, (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(dataset.validation.labels, (std::vector<std::int64_t>{9, 0}));
  ASSERT_EQ(dataset.training.pixels.size(), 5u * 3072);
  EXPECT_EQ(dataset.training.pixels[2 * 3072], 3) << "red of the third image";
  EXPECT_EQ(dataset.training.pixels[3 * 3072 - 1], 9) << "blue of the third image";
}

TEST_F(CifarDataset, Cifar100HasFineLabels) {
  const Dataset dataset = read_cifar100_dataset(folder_ / "");
  EXPECT_EQ(dataset.classes, 100);
  EXPECT_EQ(dataset.training.labels, (std::vector<std::int64_t>{99}));
  EXPECT_EQ(dataset.validation.labels, (std::vector<std::int64_t>{2}));
}

TEST_F(CifarDataset, DamagedFilesAreNamed) {
  folder_.file("test_batch.bin", record({9}, 7) + "\1\2");
  EXPECT_EQ(refusal(read_cifar10_dataset), "test_batch.bin: it is truncated or damaged: it has 3075 bytes: records are of 3073");
  folder_.file("test_batch.bin", record({9}, 7) + record({10}, 7));
  EXPECT_EQ(refusal(read_cifar10_dataset), "test_batch.bin: label 1 is 10: 0 to 9 are accepted");
  folder_.file("train.bin", record({0, 100}, 1));
  EXPECT_EQ(refusal(read_cifar100_dataset), "train.bin: label 0 is 100: 0 to 99 are accepted");
  std::filesystem::remove(folder_ / "data_batch_4.bin");
  EXPECT_EQ(refusal(read_cifar10_dataset), "data_batch_4.bin: it cannot be read: No such file or directory");
}

}  // namespace
}  // namespace lcnn::train
