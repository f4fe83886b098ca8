// CIFAR's binary version. CIFAR-10: data_batch_1.bin to data_batch_5.bin and test_batch.bin; CIFAR-100: train.bin and test.bin.
// A file is records of the label (CIFAR-100: the superclass, which is not used, then the class) and the pixels.
#include <fmt/format.h>

#include <initializer_list>
#include <stdexcept>

#include "train/dataset.h"
#include "train/read_file.h"

namespace lcnn::train {
namespace {

constexpr ImageShape kShape{3, 32, 32};

ImageSet read_part(const std::filesystem::path& folder, std::initializer_list<const char*> names, std::size_t label_bytes,
                   std::int64_t classes) {
  const std::size_t record = label_bytes + static_cast<std::size_t>(kShape.elements());
  ImageSet set;
  for (const char* const name : names) {
    const std::filesystem::path file = folder / name;
    const std::string bytes = read_file(file);
    if (bytes.empty() || bytes.size() % record != 0) {
      throw std::runtime_error(fmt::format("{}: it is truncated or damaged: it has {} bytes: records are of {}", file.string(),
                                           bytes.size(), record));
    }
    for (std::size_t first = 0; first < bytes.size(); first += record) {
      const std::size_t pixels = first + label_bytes;
      const auto label = static_cast<std::uint8_t>(bytes[pixels - 1]);
      if (label >= classes) {
        throw std::runtime_error(fmt::format("{}: label {} is {}: 0 to {} are accepted", file.string(), first / record, label,
                                             classes - 1));
      }
      set.labels.push_back(label);
      set.pixels.insert(set.pixels.end(), bytes.begin() + static_cast<std::ptrdiff_t>(pixels),
                        bytes.begin() + static_cast<std::ptrdiff_t>(first + record));
    }
  }
  return set;
}

}  // namespace

Dataset read_cifar10_dataset(const std::filesystem::path& folder) {
  return {.shape = kShape,
          .classes = 10,
          .training = read_part(folder, {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"}, 1, 10),
          .validation = read_part(folder, {"test_batch.bin"}, 1, 10)};
}

Dataset read_cifar100_dataset(const std::filesystem::path& folder) {
  return {.shape = kShape,
          .classes = 100,
          .training = read_part(folder, {"train.bin"}, 2, 100),
          .validation = read_part(folder, {"test.bin"}, 2, 100)};
}

}  // namespace lcnn::train
