// Images of a set, batch by batch, made ready by threads ahead of who takes them.
#pragma once

#include <condition_variable>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "train/augmentation.h"
#include "train/dataset.h"

namespace lcnn::train {

// How images in files come to the height and width that a network takes.
enum class Resize {
  crop,     // the shorter side is resized to it (the larger one where it is no square), the rest is cut off
  stretch,  // both sides are resized to it, whatever the image's proportions
};

// What a network sees of a set's images. Those in files are resized to the shape and twice `augmentation.crop`, from which the
// window is cut; those in memory are padded with zeros by `augmentation.crop` when they are cropped. The content does not depend
// on the number of threads.
struct View {
  ImageShape shape;
  Augmentation augmentation;
  std::optional<Draw> draw;  // none: the middle of each image, unflipped
  Resize resize = Resize::crop;
};

// Writes one image, [channels, height, width]. Throws std::runtime_error, one line that names the file, when it cannot be used.
void load_image(const ImageSet& set, const View& view, std::int64_t index, std::uint8_t* to);

// As many threads as there are cores, up to 16: what a Loader is given unless its user says how many.
int usual_loaders();

class Loader {
 public:
  // One pass over the images of `order`, in batches of `batch` (the last may be smaller), from batch `first` on. The set must
  // outlive it.
  Loader(const ImageSet& set, const View& view, std::vector<std::int64_t> order, std::int64_t batch, std::int64_t first, int threads);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch, [images, channels, height, width], until the next call; not to be called behind the last one. Throws
  // std::runtime_error as load_image does, for this batch's images only.
  std::span<std::uint8_t> next();

 private:
  struct Slot {
    std::vector<std::uint8_t> pixels;
    std::int64_t missing = 0;  // images that are not loaded yet
    std::string error;         // of the first that could not be
  };

  void work();
  std::int64_t size_of(std::int64_t batch) const;
  Slot& slot_of(std::int64_t batch) { return slots_[static_cast<std::size_t>(batch) % slots_.size()]; }

  const ImageSet& set_;
  const View view_;
  const std::vector<std::int64_t> order_;
  const std::int64_t batch_;
  std::mutex mutex_;
  std::condition_variable room_, ready_;
  std::vector<Slot> slots_;
  std::int64_t current_;    // the batch that next() gave last
  std::int64_t position_;   // in the order: what no thread has taken yet
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

// The pixels of up to `most` images, evenly chosen, as the network sees them: a set in memory, without labels.
ImageSet load_sample(const ImageSet& set, const View& view, std::int64_t most, int threads);

}  // namespace lcnn::train
