// batch_gather: lanes run over images, for layers with few positions.
//
// Idea:    with the images of a batch innermost, X [channel][row][column][image], a row of W pixels of B images is a row of
//          W * B values, and a tap of the kernel lies B values from the next: a problem for flat_gather, with vectors that
//          are full and aligned however few pixels a row has, and D read once for all images.
// Compute: X turned over, flat_gather, Y turned over.
// Bound:   the dictionary's product where positions are few; else the two transpositions, X and Y through memory once more.
#include <omp.h>

#include <algorithm>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/cpu/transpose.h"

namespace lcnn::cpu {
namespace {

constexpr std::int64_t kMostImages = 32;      // side by side: two vectors of the widest registers
constexpr std::int64_t kColumns = 256;        // values that a thread turns over at a time

std::int64_t groups_of_images(std::int64_t batch) { return (batch + kMostImages - 1) / kMostImages; }
std::int64_t images_together(std::int64_t batch) { return (batch + groups_of_images(batch) - 1) / groups_of_images(batch); }

// The problem of flat_gather: groups of images as its batch.
LookupProblem with_images_innermost(LookupProblem problem) {
  Conv2dProblem& conv = problem.conv;
  const std::int64_t images = images_together(conv.batch);
  conv.batch = groups_of_images(conv.batch);
  conv.width *= images;
  conv.padding[1] *= images;
  conv.dilation[1] *= images;
  return problem;
}

// X and y stored as T, float or Bf16; turned over they are float.
template <typename T>
class BatchGather final : public PreparedConvolution {
 public:
  BatchGather(const LookupProblem& problem, const LookupWeights& weights, Precision, Layout layout, const Execution& execution)
      : conv_(problem.conv) {
    const LookupProblem inner = with_images_innermost(problem);
    gather_ = flat_gather.prepare(inner, weights, Precision::fp32, layout, execution);
    x_ = Buffer(*execution.allocator, inner.conv.input_elements() * 4, MemoryKind::workspace);
    y_ = Buffer(*execution.allocator, inner.conv.output_elements() * 4, MemoryKind::workspace);
    std::fill_n(x_.as<float>(), inner.conv.input_elements(), 0.0f);  // images that fill up the last group
  }

  void run(const void* x, void* y, void* stream) override {
    const std::int64_t values = conv_.in_channels * conv_.height * conv_.width;
    const std::int64_t results = conv_.out_channels * conv_.out_height() * conv_.out_width();
    const std::int64_t together = images_together(conv_.batch);
    each_part(values, [&](std::int64_t first_image, std::int64_t images, std::int64_t first, std::int64_t count) {
      transpose(static_cast<const T*>(x) + first_image * values + first, images, count, values,
                x_.as<float>() + first_image * values + first * together, together);
    });
    gather_->run(x_.as<float>(), y_.as<float>(), stream);
    each_part(results, [&](std::int64_t first_image, std::int64_t images, std::int64_t first, std::int64_t count) {
      transpose(static_cast<const float*>(y_.as<float>()) + first_image * results + first * together, count, images, together,
                static_cast<T*>(y) + first_image * results + first, results);
    });
  }

  std::string choice() const override { return std::to_string(images_together(conv_.batch)) + " images together, " + gather_->choice(); }

 private:
  // function(first image, images, first value, values) in parallel for all groups of images and parts of their values.
  template <typename Function>
  void each_part(std::int64_t values, const Function& function) const {
    const std::int64_t together = images_together(conv_.batch);
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads_)
    for (std::int64_t image = 0; image < conv_.batch; image += together) {
      for (std::int64_t first = 0; first < values; first += kColumns) {
        function(image, std::min(together, conv_.batch - image), first, std::min(kColumns, values - first));
      }
    }
  }

  Conv2dProblem conv_;
  int threads_ = omp_get_max_threads();  // at preparation, as flat_gather's
  std::unique_ptr<PreparedConvolution> gather_;
  Buffer x_, y_;  // [group of images][channel][row][column][image]
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (problem.conv.stride[1] != 1) return "a stride above 1 along the width is not supported";
  return flat_gather.why_unsupported(problem, precision, layout);
}

}  // namespace

const Variant batch_gather{.name = "batch_gather",
                           .device = Device::cpu,
                           .why_unsupported = why_unsupported,
                           .prepare = prepare_as_stored<BatchGather>};

}  // namespace lcnn::cpu
