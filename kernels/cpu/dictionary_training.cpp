// The dictionary stage of training: S = conv(X, D) and the gradients of X and D, as products over strips of pixels.
//
// A 1x1 dictionary reads X where it lies, but for images of few pixels, which are put side by side; a kh x kw one unfolds a
// strip of output rows that stays in the cache.
#include <omp.h>

#include <algorithm>
#include <vector>

#include "kernels/cpu/images_side_by_side.h"
#include "kernels/cpu/pixel_product.h"
#include "kernels/cpu/training.h"
#include "kernels/cpu/unfold.h"

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kStripElements = 64 * 1024;  // of the unfolded input: in a core's L2, with what is computed from it
constexpr std::int64_t kStripPixels = 2048;         // so that sums over a strip are not so long that rounding shows
constexpr std::int64_t kFewPixels = 15;             // of an image whose products would not fill a vector
constexpr std::int64_t kFewDotted = 64;             // of an image whose dot products would cost more to begin and end than to compute

// One group's input as a matrix [patch_length, pixels], in strips of output rows.
class PatchStrips {
 public:
  explicit PatchStrips(const Conv2dProblem& stage)
      : stage_(stage),
        unfolds_(stage.kernel != Pair{1, 1} || stage.stride != Pair{1, 1} || stage.padding != Pair{0, 0}),
        patch_length_(stage.in_channels_per_group() * stage.taps()) {
    const std::int64_t rows = std::min(kStripElements / (patch_length_ * stage.out_width()), kStripPixels / stage.out_width());
    rows_ = std::clamp<std::int64_t>(rows, 1, stage.out_height());
    count_ = (stage.out_height() + rows_ - 1) / rows_;
  }

  std::int64_t count() const { return count_; }
  std::int64_t patch_length() const { return patch_length_; }
  bool unfolds() const { return unfolds_; }
  std::int64_t first_row(std::int64_t strip) const { return strip * rows_; }
  std::int64_t rows(std::int64_t strip) const { return std::min(rows_, stage_.out_height() - first_row(strip)); }
  std::int64_t first_pixel(std::int64_t strip) const { return first_row(strip) * stage_.out_width(); }
  std::int64_t pixels(std::int64_t strip) const { return rows(strip) * stage_.out_width(); }
  // Elements of scratch that one strip of `patches` rows of the matrix needs.
  std::int64_t scratch_elements(std::int64_t patches) const { return unfolds_ ? patches * rows_ * stage_.out_width() : 0; }

  template <typename T>
  struct Strip {
    const T* values;
    std::int64_t pitch;
  };
  // `in` is one group's input, `scratch` has scratch_elements(patch_length()).
  template <typename T>
  Strip<T> load(const T* in, std::int64_t strip, T* scratch) const {
    if (!unfolds_) return {in + first_pixel(strip), stage_.height * stage_.width};
    for (std::int64_t patch = 0; patch < patch_length_; ++patch) {
      unfold_patch(stage_, patch, first_row(strip), rows(strip), in, scratch + patch * pixels(strip));
    }
    return {scratch, pixels(strip)};
  }

 private:
  Conv2dProblem stage_;
  bool unfolds_;
  std::int64_t patch_length_, rows_, count_;
};

std::int64_t plane_of(std::int64_t height, std::int64_t width) { return height * width; }

// dD where images are single pixels: X as it lies is a matrix [batch, channels], and the product runs over the channels.
template <typename T>
void dictionary_gradient_of_pixels(const Conv2dProblem& stage, const T* grad_s, const T* x, T* grad_dictionary) {
  constexpr std::int64_t kEntries = 12;
  const std::int64_t channels = stage.in_channels_per_group(), entries = stage.out_channels_per_group();
#pragma omp parallel for collapse(2) schedule(static)
  for (std::int64_t group = 0; group < stage.groups; ++group) {
    for (std::int64_t first = 0; first < entries; first += kEntries) {
      const std::int64_t entry = group * entries + first;
      const SmallMatrix<T> transposed{grad_s + entry, std::min(kEntries, entries - first), stage.batch, 1, stage.out_channels};
      pixel_product(transposed, channels, x + group * channels, stage.in_channels, grad_dictionary + entry * channels, channels);
    }
  }
}

}  // namespace

template <typename T>
void input_dictionary(const LookupProblem& problem, const T* x, const T* dictionary, T* s) {
  const Conv2dProblem stage = problem.dictionary_stage();
  if (const ImagesSideBySide images(problem); images.pay(kFewPixels)) {
    std::vector<T> joined_s(stage.output_elements());
    input_dictionary(images.as_one_image(), images.joined(x, stage.in_channels).data(), dictionary, joined_s.data());
    return images.part(joined_s, stage.out_channels, s);
  }
  const PatchStrips strips(stage);
  const std::int64_t length = strips.patch_length(), entries = stage.out_channels_per_group();
  const std::int64_t in_plane = plane_of(stage.height, stage.width), out_plane = plane_of(stage.out_height(), stage.out_width());
#pragma omp parallel
  {
    std::vector<T> scratch(strips.scratch_elements(length));
#pragma omp for schedule(static)
    for (std::int64_t unit = 0; unit < stage.batch * stage.groups * strips.count(); ++unit) {
      const std::int64_t strip = unit % strips.count(), image_group = unit / strips.count();
      const auto in = strips.load(x + image_group * stage.in_channels_per_group() * in_plane, strip, scratch.data());
      const SmallMatrix<T> d{dictionary + image_group % stage.groups * entries * length, entries, length, length, 1};
      pixel_product(d, strips.pixels(strip), in.values, in.pitch,
                    s + image_group * entries * out_plane + strips.first_pixel(strip), out_plane);
    }
  }
}

template <typename T>
void input_gradient(const LookupProblem& problem, const T* grad_s, const T* dictionary, T* grad_x) {
  // Threads share out images and blocks of channels: strips of one channel overlap in the rows that they add to.
  constexpr std::int64_t kChannels = 12;
  const Conv2dProblem stage = problem.dictionary_stage();
  if (const ImagesSideBySide images(problem); images.pay(kFewPixels)) {
    std::vector<T> joined_x(stage.input_elements());
    input_gradient(images.as_one_image(), images.joined(grad_s, stage.out_channels).data(), dictionary, joined_x.data());
    return images.part(joined_x, stage.in_channels, grad_x);
  }
  const PatchStrips strips(stage);
  const std::int64_t length = strips.patch_length(), entries = stage.out_channels_per_group(), taps = stage.taps();
  const std::int64_t channels = stage.in_channels_per_group(), blocks = (channels + kChannels - 1) / kChannels;
  const std::int64_t in_plane = plane_of(stage.height, stage.width), out_plane = plane_of(stage.out_height(), stage.out_width());
#pragma omp parallel
  {
    std::vector<T> scratch(strips.scratch_elements(std::min(kChannels, channels) * taps));
#pragma omp for schedule(static)
    for (std::int64_t unit = 0; unit < stage.batch * stage.groups * blocks; ++unit) {
      const std::int64_t first = unit % blocks * kChannels, image_group = unit / blocks;
      const std::int64_t count = std::min(kChannels, channels - first);
      const SmallMatrix<T> transposed{dictionary + image_group % stage.groups * entries * length + first * taps,
                                      count * taps, entries, 1, length};
      const T* from = grad_s + image_group * entries * out_plane;
      T* to = grad_x + (image_group * channels + first) * in_plane;
      if (strips.unfolds()) std::fill_n(to, count * in_plane, T(0));
      for (std::int64_t strip = 0; strip < strips.count(); ++strip) {
        const std::int64_t pixels = strips.pixels(strip), start = strips.first_pixel(strip);
        if (!strips.unfolds()) {
          pixel_product(transposed, pixels, from + start, out_plane, to + start, in_plane);
          continue;
        }
        pixel_product(transposed, pixels, from + start, out_plane, scratch.data(), pixels);
        for (std::int64_t patch = 0; patch < count * taps; ++patch) {
          fold_patch(stage, patch, strips.first_row(strip), strips.rows(strip), scratch.data() + patch * pixels, to);
        }
      }
    }
  }
}

template <typename T>
void dictionary_gradient(const LookupProblem& problem, const T* grad_s, const T* x, T* grad_dictionary) {
  const Conv2dProblem stage = problem.dictionary_stage();
  if (stage.kernel == Pair{1, 1} && stage.padding == Pair{0, 0} && plane_of(stage.height, stage.width) == 1) {
    return dictionary_gradient_of_pixels(stage, grad_s, x, grad_dictionary);
  }
  if (const ImagesSideBySide images(problem); images.pay(kFewDotted)) {
    return dictionary_gradient(images.as_one_image(), images.joined(grad_s, stage.out_channels).data(),
                               images.joined(x, stage.in_channels).data(), grad_dictionary);
  }
  const PatchStrips strips(stage);
  const std::int64_t length = strips.patch_length(), entries = stage.out_channels_per_group();
  const std::int64_t in_plane = plane_of(stage.height, stage.width), out_plane = plane_of(stage.out_height(), stage.out_width());
  const std::int64_t elements = stage.weight_elements();
  std::vector<T> partial;  // of each thread, added up in order
  int threads = 1;
#pragma omp parallel
  {
#pragma omp single
    {
      threads = omp_get_num_threads();
      partial.assign(threads * elements, T(0));
    }
    std::vector<T> scratch(strips.scratch_elements(length));
    T* sums = partial.data() + omp_get_thread_num() * elements;
#pragma omp for schedule(static)
    for (std::int64_t unit = 0; unit < stage.batch * stage.groups * strips.count(); ++unit) {
      const std::int64_t strip = unit % strips.count(), image_group = unit / strips.count();
      const auto in = strips.load(x + image_group * stage.in_channels_per_group() * in_plane, strip, scratch.data());
      pixel_dot_products(entries, length, strips.pixels(strip),
                         grad_s + image_group * entries * out_plane + strips.first_pixel(strip), out_plane, in.values,
                         in.pitch, sums + image_group % stage.groups * entries * length);
    }
#pragma omp for schedule(static)
    for (std::int64_t i = 0; i < elements; ++i) {
      T sum = 0;
      for (int thread = 0; thread < threads; ++thread) sum += partial[thread * elements + i];
      grad_dictionary[i] = sum;
    }
  }
}

template void input_dictionary(const LookupProblem&, const float*, const float*, float*);
template void input_dictionary(const LookupProblem&, const double*, const double*, double*);
template void input_gradient(const LookupProblem&, const float*, const float*, float*);
template void input_gradient(const LookupProblem&, const double*, const double*, double*);
template void dictionary_gradient(const LookupProblem&, const float*, const float*, float*);
template void dictionary_gradient(const LookupProblem&, const double*, const double*, double*);

}  // namespace lcnn::cpu
