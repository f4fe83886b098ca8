#include "train/input_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <stdexcept>

#include "train/image.h"

namespace lcnn::train {
namespace {

class DatasetImages final : public InputImages {
 public:
  DatasetImages(const InferOptions& options, const ImageShape& shape) : shape_(shape) {
    const auto entry = std::ranges::find(dataset_table(), options.dataset, &DatasetEntry::name);
    Dataset dataset = entry->read(options.data);
    if (dataset.shape != shape) {
      const auto text = [](const ImageShape& s) { return fmt::format("{}x{}x{}", s.channels, s.height, s.width); };
      throw std::invalid_argument(fmt::format("--dataset={}: its images are {}, this network takes {} (channels, height, width)",
                                              options.dataset, text(dataset.shape), text(shape)));
    }
    set_ = std::move(dataset.validation);
    const auto count = static_cast<std::int64_t>(set_.labels.size());
    if (options.subset > count) throw std::invalid_argument(fmt::format("--subset={}: there are {} images", options.subset, count));
    count_ = options.subset > 0 ? options.subset : count;
  }
  std::int64_t count() const override { return count_; }
  std::string name(std::int64_t image) const override { return fmt::format("validation image {}", image); }
  std::optional<std::int64_t> label(std::int64_t image) const override { return set_.labels[static_cast<std::size_t>(image)]; }
  void append(std::int64_t image, std::vector<std::uint8_t>& pixels) const override {
    const auto first = set_.pixels.begin() + image * shape_.elements();
    pixels.insert(pixels.end(), first, first + shape_.elements());
  }

 private:
  const ImageShape shape_;
  ImageSet set_;
  std::int64_t count_ = 0;
};

namespace fs = std::filesystem;

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

class FileImages final : public InputImages {
 public:
  FileImages(const InferOptions& options, const ImageShape& shape) : shape_(shape), files_(image_files(options.images)) {}
  std::int64_t count() const override { return static_cast<std::int64_t>(files_.size()); }
  std::string name(std::int64_t image) const override { return files_[static_cast<std::size_t>(image)].string(); }
  void append(std::int64_t image, std::vector<std::uint8_t>& pixels) const override {
    const Image decoded = with_channels(decode_image(files_[static_cast<std::size_t>(image)]), shape_.channels);
    const Image resized = resize_image(decoded, shape_.height, shape_.width);
    pixels.insert(pixels.end(), resized.pixels.begin(), resized.pixels.end());
  }

 private:
  const ImageShape shape_;
  const std::vector<fs::path> files_;
};

}  // namespace

std::unique_ptr<InputImages> open_images(const InferOptions& options, const ImageShape& shape) {
  if (options.dataset.empty()) return std::make_unique<FileImages>(options, shape);
  return std::make_unique<DatasetImages>(options, shape);
}

}  // namespace lcnn::train
