#include "train/input_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <numeric>
#include <stdexcept>

namespace lcnn::train {
namespace {

namespace fs = std::filesystem;

ImageSet dataset_images(const InferOptions& options, const CheckpointSummary& summary) {
  const auto entry = std::ranges::find(dataset_table(), options.dataset, &DatasetEntry::name);
  const Dataset dataset = entry->read(options.data);
  const ImageShape& shape = summary.architecture.shape;
  if (!entry->files && dataset.shape != shape) {
    const auto text = [](const ImageShape& s) { return fmt::format("{}x{}x{}", s.channels, s.height, s.width); };
    throw std::invalid_argument(fmt::format("--dataset={}: its images are {}, this network takes {} (channels, height, width)",
                                            options.dataset, text(dataset.shape), text(shape)));
  }
  if (output_labels(dataset.labels, dataset.classes) != summary.labels) {
    const auto kind = [](const Labels& labels) { return labels.attributes ? "attributes" : "classes"; };
    throw std::invalid_argument(fmt::format("--dataset={}: its {} {} are not the {} {} that this network predicts", options.dataset, dataset.classes,
                                            kind(dataset.labels), summary.labels.names.size(), kind(summary.labels)));
  }
  const ImageSet& set = options.test_part ? dataset.test : dataset.validation;
  const std::int64_t count = set.count();
  if (count == 0) throw std::invalid_argument(fmt::format("--part=test: {} has no test images of its own", options.dataset));
  if (options.subset > count) throw std::invalid_argument(fmt::format("--subset={}: there are {} images", options.subset, count));
  std::vector<std::int64_t> first(static_cast<std::size_t>(options.subset > 0 ? options.subset : count));
  std::iota(first.begin(), first.end(), std::int64_t{0});
  return chosen_images(set, shape, first);
}

bool named_as_image(const fs::path& file) {
  std::string extension = file.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

// Files as they are given, and those of folders by name.
std::vector<fs::path> image_files(const std::vector<std::string>& given) {
  std::vector<fs::path> files;
  for (const fs::path path : given) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    const auto before = static_cast<std::ptrdiff_t>(files.size());
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.is_regular_file() && named_as_image(entry.path())) files.push_back(entry.path());
    }
    std::sort(files.begin() + before, files.end());
    if (files.begin() + before == files.end()) {
      throw std::invalid_argument(fmt::format("{}: there is no PNG or JPEG file in this folder", path.string()));
    }
  }
  return files;
}

}  // namespace

std::string InputImages::name(std::int64_t image) const {
  return set.files.empty() ? fmt::format("validation image {}", image) : set.files[static_cast<std::size_t>(image)].string();
}

std::optional<std::int64_t> InputImages::label(std::int64_t image) const {
  if (set.labels.empty()) return std::nullopt;
  return set.labels[static_cast<std::size_t>(image)];
}

std::vector<std::uint8_t> InputImages::attributes(std::int64_t image) const {
  const auto width = static_cast<std::ptrdiff_t>(set.attributes.size()) / set.count();
  return {set.attributes.begin() + image * width, set.attributes.begin() + (image + 1) * width};
}

InputImages open_images(const InferOptions& options, const CheckpointSummary& summary) {
  if (options.dataset.empty()) return {{.files = image_files(options.images)}, summary.view};
  return {dataset_images(options, summary), summary.view};
}

}  // namespace lcnn::train
