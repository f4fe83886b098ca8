// A batch's images side by side, as rows of one image: for layers whose images have less pixels than fill vectors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/problem.h"

namespace lcnn::cpu {

class ImagesSideBySide {
 public:
  explicit ImagesSideBySide(const LookupProblem& problem) : problem_(problem), pixels_(problem.conv.height * problem.conv.width) {}

  // Whether the dictionary stage reads single pixels, and so few of an image that copies cost less than vectors that are not full.
  bool pay(std::int64_t most_pixels) const {
    const Conv2dProblem stage = problem_.dictionary_stage();
    return stage.kernel == Pair{1, 1} && stage.stride == Pair{1, 1} && stage.padding == Pair{0, 0} && stage.batch > 1 && pixels_ <= most_pixels;
  }

  // The same dictionary stage over one image, with a row for each image of the batch.
  LookupProblem as_one_image() const {
    LookupProblem one = problem_;
    one.granularity = Granularity::filter;
    one.conv.kernel = {1, 1};
    one.conv.stride = {1, 1};
    one.conv.padding = {0, 0};
    one.conv.batch = 1;
    one.conv.height = problem_.conv.batch;
    one.conv.width = pixels_;
    return one;
  }

  // [batch][channels][pixels] as [channels][batch][pixels], and back.
  template <typename T>
  std::vector<T> joined(const T* from, std::int64_t channels) const {
    std::vector<T> to(problem_.conv.batch * channels * pixels_);
    copy_rows(problem_.conv.batch, channels, from, to.data());
    return to;
  }
  template <typename T>
  void part(const std::vector<T>& from, std::int64_t channels, T* to) const {
    copy_rows(channels, problem_.conv.batch, from.data(), to);
  }

 private:
  // to [inner][outer][pixels] = from [outer][inner][pixels].
  template <typename T>
  void copy_rows(std::int64_t outer, std::int64_t inner, const T* from, T* to) const {
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < inner; ++i) {
      for (std::int64_t o = 0; o < outer; ++o) std::copy_n(from + (o * inner + i) * pixels_, pixels_, to + (i * outer + o) * pixels_);
    }
  }

  LookupProblem problem_;
  std::int64_t pixels_;
};

}  // namespace lcnn::cpu
