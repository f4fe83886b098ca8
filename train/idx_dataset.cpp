// MNIST's layout: {train,t10k}-{images-idx3,labels-idx1}-ubyte in one folder, plain or gzipped.
#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "train/dataset.h"
#include "train/idx.h"

namespace lcnn::train {
namespace {

constexpr std::int64_t kClasses = 10;

ImageSet read_part(const std::filesystem::path& folder, const char* part, ImageShape& shape) {
  const std::filesystem::path image_file = folder / fmt::format("{}-images-idx3-ubyte", part);
  const std::filesystem::path label_file = folder / fmt::format("{}-labels-idx1-ubyte", part);
  IdxArray images = read_idx(image_file, 3);
  const IdxArray labels = read_idx(label_file, 1);
  if (images.extents[0] != labels.extents[0]) {
    throw std::runtime_error(fmt::format("{}: it has {} labels: there are {} images", label_file.string(), labels.extents[0],
                                         images.extents[0]));
  }
  for (std::size_t i = 0; i < labels.values.size(); ++i) {
    if (labels.values[i] >= kClasses) {
      throw std::runtime_error(fmt::format("{}: label {} is {}: 0 to {} are accepted", label_file.string(), i,
                                           labels.values[i], kClasses - 1));
    }
  }
  shape = {1, images.extents[1], images.extents[2]};
  return {std::move(images.values), {labels.values.begin(), labels.values.end()}};
}

}  // namespace

Dataset read_idx_dataset(const std::filesystem::path& folder) {
  Dataset dataset{.classes = kClasses};
  ImageShape validation_shape;
  dataset.training = read_part(folder, "train", dataset.shape);
  dataset.validation = read_part(folder, "t10k", validation_shape);
  if (dataset.shape != validation_shape) {
    throw std::runtime_error(fmt::format("{}: training images are {}x{}, validation images {}x{}: they must be of one size",
                                         folder.string(), dataset.shape.height, dataset.shape.width, validation_shape.height,
                                         validation_shape.width));
  }
  return dataset;
}

}  // namespace lcnn::train
