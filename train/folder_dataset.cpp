// A folder of classes, as ImageNet is laid out: train/CLASS/ and val/CLASS/ hold a class's JPEG and PNG files.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <stdexcept>
#include <string>

#include "train/dataset.h"

namespace lcnn::train {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, const std::string& reason) {
  throw std::runtime_error(fmt::format("{}: {}", path.string(), reason));
}

bool is_image(const fs::path& file) {
  std::string extension = file.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

// What is in a folder, sorted, so that neither classes nor images depend on the file system.
std::vector<fs::path> entries_of(const fs::path& folder, bool (*wanted)(const fs::path& path)) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (wanted(entry->path())) entries.push_back(entry->path());
  }
  if (error) refuse(folder, "it cannot be read: " + error.message());
  std::ranges::sort(entries);
  return entries;
}

std::vector<fs::path> class_folders(const fs::path& folder) {
  const auto classes = entries_of(folder, [](const fs::path& path) { return fs::is_directory(path); });
  if (classes.empty()) refuse(folder, "it has no folders: one for each class is expected");
  return classes;
}

void add_images(ImageSet& set, const fs::path& folder, std::int64_t label) {
  const std::vector<fs::path> files = entries_of(folder, is_image);
  if (files.empty()) refuse(folder, "it has no image: .jpg, .jpeg and .png are read");
  set.files.insert(set.files.end(), files.begin(), files.end());
  set.labels.insert(set.labels.end(), files.size(), label);
}

}  // namespace

Dataset read_folder_dataset(const fs::path& folder) {
  Dataset dataset;
  for (const fs::path& path : class_folders(folder / "train")) {
    add_images(dataset.training, path, dataset.classes++);
    dataset.labels.names.push_back(path.filename());
  }
  for (const fs::path& path : class_folders(folder / "val")) {
    const auto found = std::ranges::find(dataset.labels.names, path.filename().string());
    if (found == dataset.labels.names.end()) refuse(path, fmt::format("it is no class: {} has none of that name", (folder / "train").string()));
    add_images(dataset.validation, path, found - dataset.labels.names.begin());
  }
  return dataset;
}

}  // namespace lcnn::train
