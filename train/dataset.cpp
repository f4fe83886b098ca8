#include "train/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <stdexcept>

namespace lcnn::train {

std::span<const DatasetEntry> dataset_table() {
  static constexpr DatasetEntry kTable[] = {
      {"fashion-mnist", "28x28 grey, 10 classes, IDX files", "/usr/share/datasets/fashion-mnist", false, read_idx_dataset},
      {"mnist", "28x28 grey, 10 classes, IDX files", "", false, read_idx_dataset},
      {"cifar10", "32x32 RGB, 10 classes, binary version", "", false, read_cifar10_dataset},
      {"cifar100", "32x32 RGB, 100 classes, binary version", "", false, read_cifar100_dataset},
      {"folder", "train/CLASS/ and val/CLASS/ of JPEG and PNG files, as ImageNet is laid out", "", true, read_folder_dataset},
      {"celeba", "CelebA's own layout: img_align_celeba/, list_attr_celeba.txt, list_eval_partition.txt; every attribute is learnt", "",
       true, read_celeba_dataset},
  };
  return kTable;
}

Labels output_labels(Labels labels, std::int64_t outputs) {
  for (std::int64_t i = 0; labels.names.size() < static_cast<std::size_t>(outputs) && i < outputs; ++i) labels.names.push_back(std::to_string(i));
  return labels;
}

ImageSet chosen_images(const ImageSet& set, const ImageShape& shape, std::span<const std::int64_t> indices) {
  ImageSet chosen;
  const auto copy = [&](const auto& from, auto& to, std::int64_t width) {
    if (from.empty()) return;
    for (const std::int64_t i : indices) to.insert(to.end(), from.begin() + i * width, from.begin() + (i + 1) * width);
  };
  copy(set.pixels, chosen.pixels, shape.elements());
  copy(set.labels, chosen.labels, 1);
  copy(set.attributes, chosen.attributes, static_cast<std::int64_t>(set.attributes.size()) / std::max<std::int64_t>(set.count(), 1));
  copy(set.files, chosen.files, 1);
  return chosen;
}

ImageSet few_examples(const Dataset& dataset, std::int64_t count, std::uint64_t seed) {
  const auto refuse = [&](const std::string& why) { throw std::invalid_argument(fmt::format("--examples-per-class={}: {}", count, why)); };
  if (dataset.labels.attributes) refuse("these images have attributes, not classes");
  const ImageSet& set = dataset.training;
  const std::vector<std::string> names = output_labels(dataset.labels, dataset.classes).names;
  std::mt19937_64 random(seed);
  std::vector<std::int64_t> chosen;
  for (std::int64_t label = 0; label < dataset.classes; ++label) {
    std::vector<std::int64_t> images;
    for (std::int64_t i = 0; i < set.count(); ++i) {
      if (set.labels[static_cast<std::size_t>(i)] == label) images.push_back(i);
    }
    const auto left = static_cast<std::int64_t>(images.size());
    if (left < count) refuse(fmt::format("class {} has {} training images", names[static_cast<std::size_t>(label)], left));
    for (std::int64_t i = 0; i < count; ++i) {
      const auto other = i + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(left - i));
      std::swap(images[static_cast<std::size_t>(i)], images[static_cast<std::size_t>(other)]);
      chosen.push_back(images[static_cast<std::size_t>(i)]);
    }
  }
  std::ranges::sort(chosen);
  return chosen_images(set, dataset.shape, chosen);
}

Normalization normalization_of(const ImageSet& images, const ImageShape& shape) {
  Normalization result;
  const auto plane = static_cast<std::size_t>(shape.height * shape.width);
  const auto image = static_cast<std::size_t>(shape.elements());
  for (std::int64_t channel = 0; channel < shape.channels; ++channel) {
    std::array<std::int64_t, 256> histogram{};
    for (std::size_t first = static_cast<std::size_t>(channel) * plane; first < images.pixels.size(); first += image) {
      for (std::size_t i = first; i < first + plane; ++i) ++histogram[images.pixels[i]];
    }
    double count = 0, sum = 0, squares = 0;
    for (std::size_t value = 0; value < histogram.size(); ++value) {
      const double pixel = static_cast<double>(value) / 255.0, times = static_cast<double>(histogram[value]);
      count += times;
      sum += times * pixel;
      squares += times * pixel * pixel;
    }
    const double mean = sum / count;
    result.mean.push_back(mean);
    // A channel of one value has nothing to scale: 1/255 is the smallest difference that pixels can have.
    result.deviation.push_back(std::sqrt(std::max(squares / count - mean * mean, 1.0 / (255.0 * 255.0))));
  }
  return result;
}

}  // namespace lcnn::train
