#include "train/input_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

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

}  // namespace

std::unique_ptr<InputImages> open_images(const InferOptions& options, const ImageShape& shape) {
  return std::make_unique<DatasetImages>(options, shape);
}

}  // namespace lcnn::train
