#include "train/loader.h"

#include <algorithm>
#include <exception>
#include <stdexcept>

namespace lcnn::train {
namespace {

constexpr std::int64_t kBatchesAhead = 4;
constexpr std::int64_t kImagesAtOnce = 8;  // what a thread takes: fewer would cost locks, more would delay the first batch

constexpr unsigned kMostThreads = 16;

Image resized(const Image& image, const View& view) {
  const std::int64_t border = 2 * view.augmentation.crop;
  if (view.resize == Resize::stretch) return resize_image(image, view.shape.height + border, view.shape.width + border);
  const std::int64_t shorter = std::min(image.height, image.width), shorter_side = std::max(view.shape.height, view.shape.width) + border;
  return resize_image(image, image.height * shorter_side / shorter, image.width * shorter_side / shorter);
}

}  // namespace

void load_image(const ImageSet& set, const View& view, std::int64_t index, std::uint8_t* to) {
  const auto write = [&](const std::uint8_t* pixels, const ImageShape& shape, std::int64_t padding) {
    const Window window = choose_window(shape, view.shape, padding, view.augmentation.flip, view.draw, static_cast<std::uint64_t>(index));
    copy_window(pixels, shape, window, view.shape, to);
  };
  if (set.files.empty()) return write(set.pixels.data() + index * view.shape.elements(), view.shape, view.augmentation.crop);
  const Image image = with_channels(decode_image(set.files[static_cast<std::size_t>(index)]), view.shape.channels);
  const Image scaled = resized(image, view);
  write(scaled.pixels.data(), scaled, 0);
}

int usual_loaders() { return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads)); }

Loader::Loader(const ImageSet& set, const View& view, std::vector<std::int64_t> order, std::int64_t batch, std::int64_t first,
               int threads)
    : set_(set), view_(view), order_(std::move(order)), batch_(batch), slots_(static_cast<std::size_t>(kBatchesAhead)), current_(first - 1), position_(first * batch) {
  for (std::int64_t i = first; i < first + kBatchesAhead; ++i) slot_of(i).missing = size_of(i);
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  room_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::int64_t Loader::size_of(std::int64_t batch) const {
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(order_.size()) - batch * batch_, 0, batch_);
}

std::span<std::uint8_t> Loader::next() {
  std::unique_lock lock(mutex_);
  // Nobody reads the batch before any more: its place is free.
  Slot& freed = slot_of(current_ + kBatchesAhead);
  freed.missing = size_of(current_ + kBatchesAhead);
  freed.error.clear();
  ++current_;
  room_.notify_all();
  Slot& slot = slot_of(current_);
  ready_.wait(lock, [&] { return slot.missing == 0; });
  if (!slot.error.empty()) throw std::runtime_error(slot.error);
  return {slot.pixels.data(), static_cast<std::size_t>(size_of(current_) * view_.shape.elements())};
}

void Loader::work() {
  const auto count = static_cast<std::int64_t>(order_.size());
  std::unique_lock lock(mutex_);
  while (true) {
    room_.wait(lock, [&] {
      return stopping_ || position_ >= count || position_ / batch_ < current_ + kBatchesAhead;
    });
    if (stopping_ || position_ >= count) return;
    const std::int64_t batch = position_ / batch_, begin = position_;
    const std::int64_t end = std::min({begin + kImagesAtOnce, (batch + 1) * batch_, count});
    position_ = end;
    Slot& slot = slot_of(batch);
    slot.pixels.resize(static_cast<std::size_t>(batch_ * view_.shape.elements()));
    std::uint8_t* const pixels = slot.pixels.data();
    lock.unlock();
    std::string error;
    try {
      for (std::int64_t i = begin; i < end; ++i) {
        load_image(set_, view_, order_[static_cast<std::size_t>(i)], pixels + (i - batch * batch_) * view_.shape.elements());
      }
    } catch (const std::exception& caught) {
      error = caught.what();
    }
    lock.lock();
    if (slot.error.empty()) slot.error = error;
    slot.missing -= end - begin;
    if (slot.missing == 0) ready_.notify_all();
  }
}

ImageSet load_sample(const ImageSet& set, const View& view, std::int64_t most, int threads) {
  const std::int64_t count = set.count(), taken = std::min(count, most);
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < taken; ++i) order.push_back(i * count / taken);
  ImageSet sample;
  Loader loader(set, view, order, kImagesAtOnce, 0, threads);
  for (std::int64_t i = 0; i < taken; i += kImagesAtOnce) {
    const auto pixels = loader.next();
    sample.pixels.insert(sample.pixels.end(), pixels.begin(), pixels.end());
  }
  return sample;
}

}  // namespace lcnn::train
