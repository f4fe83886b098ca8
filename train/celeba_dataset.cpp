// CelebA as it is distributed. list_attr_celeba.txt: the number of images, the attributes' names, then a line an image: its name in
// img_align_celeba/ and 1 or -1 for each attribute. list_eval_partition.txt: a line an image: its name and its part, 0 for training,
// 1 for validation, 2 for testing.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <stdexcept>
#include <string>

#include "train/dataset.h"
#include "train/read_file.h"

namespace lcnn::train {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string_view>;

Words words_of(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r";
  Words words;
  for (std::size_t begin = line.find_first_not_of(kBlanks); begin != line.npos; begin = line.find_first_not_of(kBlanks, begin)) {
    const std::size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

// A text file, line by line.
class Lines {
 public:
  explicit Lines(const fs::path& file) : file_(file), text_(read_file(file)) {}
  bool more() const { return position_ < text_.size(); }
  // The words of the next line; none behind the last.
  Words next() {
    const std::size_t end = std::min(text_.find('\n', position_), text_.size());
    const std::string_view line(text_.data() + std::min(position_, text_.size()), end - std::min(position_, end));
    position_ = end + 1;
    ++number_;
    return words_of(line);
  }
  std::int64_t number() const { return number_; }  // of the line that next() gave, from 1
  [[noreturn]] void refuse(const std::string& why) const {
    throw std::runtime_error(fmt::format("{}: line {}: {}", file_.string(), number_, why));
  }

 private:
  const fs::path file_;
  const std::string text_;
  std::size_t position_ = 0;
  std::int64_t number_ = 0;
};

enum class Part { none, training, validation, test };

using Partition = std::map<std::string, Part>;

Partition read_partition(const fs::path& file) {
  Partition partition;
  Lines lines(file);
  while (lines.more()) {
    const Words words = lines.next();
    if (words.empty()) continue;
    if (words.size() != 2) lines.refuse(fmt::format("it has {} words: an image and its part are expected", words.size()));
    const auto part = std::string_view("012").find(words[1]);
    if (words[1].size() != 1 || part == std::string_view::npos) {
      lines.refuse(fmt::format("{} is of part {}: 0 (training), 1 (validation) and 2 (test) are accepted", words[0], words[1]));
    }
    if (!partition.emplace(words[0], static_cast<Part>(part + 1)).second) lines.refuse(fmt::format("{} has a line already", words[0]));
  }
  return partition;
}

std::int64_t read_count(Lines& lines) {
  const Words words = lines.next();
  std::int64_t count = -1;
  if (words.size() == 1) std::from_chars(words[0].data(), words[0].data() + words[0].size(), count);
  if (count < 1) lines.refuse("the number of images is expected");
  return count;
}

// One line's values, as 0 and 1.
std::vector<std::uint8_t> read_values(const Lines& lines, const Words& words, const std::vector<std::string>& names) {
  if (words.size() != names.size() + 1) {
    lines.refuse(fmt::format("{} has {} values: one for each of the {} attributes is expected", words[0], words.size() - 1, names.size()));
  }
  std::vector<std::uint8_t> values;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] != "1" && words[i] != "-1") {
      lines.refuse(fmt::format("{} has {} for {}: 1 and -1 are accepted", words[0], words[i], names[i - 1]));
    }
    values.push_back(words[i] == "1" ? 1 : 0);
  }
  return values;
}

}  // namespace

Dataset read_celeba_dataset(const fs::path& folder) {
  const fs::path images = folder / "img_align_celeba", attribute_file = folder / "list_attr_celeba.txt",
                 partition_file = folder / "list_eval_partition.txt";
  Lines lines(attribute_file);
  Partition partition = read_partition(partition_file);
  const std::int64_t count = read_count(lines);
  const Words names = lines.next();
  if (names.empty()) lines.refuse("the attributes' names are expected");
  Dataset dataset{.classes = static_cast<std::int64_t>(names.size()), .labels = {{names.begin(), names.end()}, /*attributes=*/true}};
  std::int64_t found = 0;
  while (lines.more()) {
    const Words words = lines.next();
    if (words.empty()) continue;
    ++found;
    const std::vector<std::uint8_t> values = read_values(lines, words, dataset.labels.names);
    const auto part = partition.find(std::string(words[0]));
    if (part == partition.end()) lines.refuse(fmt::format("{} has no line in {}", words[0], partition_file.string()));
    if (part->second == Part::none) lines.refuse(fmt::format("{} has a line already", words[0]));
    const fs::path file = images / words[0];
    std::error_code error;
    if (!fs::exists(file, error)) lines.refuse(fmt::format("its image is missing: {}", file.string()));
    ImageSet& set = part->second == Part::training ? dataset.training : part->second == Part::validation ? dataset.validation : dataset.test;
    set.files.push_back(file);
    set.attributes.insert(set.attributes.end(), values.begin(), values.end());
    part->second = Part::none;
  }
  if (found != count) {
    throw std::runtime_error(fmt::format("{}: it has lines for {} images: its first line says {}", attribute_file.string(), found, count));
  }
  const auto left = std::ranges::find_if(partition, [](const auto& entry) { return entry.second != Part::none; });
  if (left != partition.end()) {
    throw std::runtime_error(fmt::format("{}: it has no line for {}, which {} lists", attribute_file.string(), left->first, partition_file.string()));
  }
  if (dataset.training.files.empty()) throw std::runtime_error(fmt::format("{}: it has no image of part 0 (training)", partition_file.string()));
  if (dataset.validation.files.empty()) throw std::runtime_error(fmt::format("{}: it has no image of part 1 (validation)", partition_file.string()));
  return dataset;
}

}  // namespace lcnn::train
