#include "train/training_step.h"

#include <cmath>

#include "profiles/nvtx_ranges.h"
#include "train/objective.h"

namespace lcnn::train {
namespace {

struct ForwardRange {
  static constexpr const char* message{"forward"};
};
struct BackwardRange {
  static constexpr const char* message{"backward"};
};
struct UpdateRange {
  static constexpr const char* message{"update"};
};

using profiles::Range;

}  // namespace

StepResult training_step(Model& model, torch::optim::Optimizer& optimizer, const torch::Tensor& images, const torch::Tensor& targets,
                         double lambda) {
  StepResult result;
  optimizer.zero_grad();
  torch::Tensor loss, minimized;
  {
    const Range range = Range::of<ForwardRange>();
    result.outputs = model.forward(images);
    loss = loss_of(result.outputs, targets);
    minimized = lambda > 0 ? loss + lambda * model.sparsity_loss() : loss;
  }
  {
    const Range range = Range::of<BackwardRange>();
    minimized.backward();
    result.loss = loss.item<double>();
  }
  if (!std::isfinite(result.loss)) return result;
  const Range range = Range::of<UpdateRange>();
  optimizer.step();
  return result;
}

}  // namespace lcnn::train
