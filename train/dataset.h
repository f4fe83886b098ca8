// Data sets of images with labels: a class each, or attributes. A new one is one file that reads it, and one line in dataset.cpp's table.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "train/image.h"

namespace lcnn::train {

struct ImageSet {
  std::vector<std::uint8_t> pixels;          // [images, channels, height, width]; none where the images are in files
  std::vector<std::int64_t> labels;          // [images], classes from 0; none where images have attributes instead
  std::vector<std::uint8_t> attributes;      // [images, attributes]: 1 where an image has it, else 0
  std::vector<std::filesystem::path> files;  // [images], decoded when they are needed (loader.h); none where they are in memory

  std::int64_t count() const { return static_cast<std::int64_t>(labels.empty() ? files.size() : labels.size()); }
};

// What a network's outputs are called.
struct Labels {
  std::vector<std::string> names;  // of each output; of a data set, none where its classes are numbers
  bool attributes = false;         // each output stands for itself, as CelebA's; else they exclude each other

  bool operator==(const Labels&) const = default;
};

// With numbers for names where there are none.
Labels output_labels(Labels labels, std::int64_t outputs);

struct Dataset {
  ImageShape shape;  // of images in memory
  std::int64_t classes = 0;  // or attributes
  Labels labels;
  ImageSet training, validation;
  ImageSet test;  // none where the data set knows two parts only
};

// The images of these indices, in their order, of a set whose images have that shape where they are in memory.
ImageSet chosen_images(const ImageSet& set, const ImageShape& shape, std::span<const std::int64_t> indices);

// `count` images of each class, chosen by the seed, in the set's order. Throws std::invalid_argument, one line, when a class has
// fewer or images have attributes.
ImageSet few_examples(const Dataset& dataset, std::int64_t count, std::uint64_t seed);

// What makes each channel of a set of mean 0 and variance 1, pixels being 0 to 1 and in memory: (pixel - mean) / deviation.
struct Normalization {
  std::vector<double> mean, deviation;
};
Normalization normalization_of(const ImageSet& images, const ImageShape& shape);

struct DatasetEntry {
  std::string_view name, summary;
  std::string_view folder;  // where distributions install it; empty: it has to be given
  bool files;               // whether its images are in files, of any size
  // Throws std::runtime_error, one line that names the file and what is wrong with it.
  Dataset (*read)(const std::filesystem::path& folder) = nullptr;
};

// Every data set that can be trained on.
std::span<const DatasetEntry> dataset_table();

// The readers, one file each.
Dataset read_idx_dataset(const std::filesystem::path& folder);  // MNIST's layout: ten classes, IDX files
Dataset read_cifar10_dataset(const std::filesystem::path& folder);
Dataset read_cifar100_dataset(const std::filesystem::path& folder);
Dataset read_folder_dataset(const std::filesystem::path& folder);  // train/CLASS/*.jpg, val/CLASS/*.jpg
Dataset read_celeba_dataset(const std::filesystem::path& folder);  // CelebA's own layout

}  // namespace lcnn::train
