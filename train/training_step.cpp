#include "train/training_step.h"

#include <cmath>

#include "profiles/nvtx_ranges.h"
#include "train/autocast.h"
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

StepTensors enqueue_gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective, double weight) {
  StepTensors step;
  torch::Tensor minimized;
  {
    const Range range = Range::of<ForwardRange>();
    {
      const Autocast autocast(images.device().type(), objective.autocast);
      step.outputs = model.forward(images).to(torch::kFloat);
    }
    step.loss = loss_of(step.outputs, targets);
    minimized = objective.lambda > 0 ? step.loss + objective.lambda * model.sparsity_loss() : step.loss;
    if (weight != 1) minimized = minimized * weight;
    if (objective.loss_scaler != nullptr) minimized = objective.loss_scaler->scaled(minimized);
  }
  const Range range = Range::of<BackwardRange>();
  minimized.backward();
  return step;
}

StepResult result_of(const StepTensors& enqueued) { return {.outputs = enqueued.outputs, .loss = enqueued.loss.item<double>()}; }

StepResult add_gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective, double weight) {
  return result_of(enqueue_gradients(model, images, targets, objective, weight));
}

bool update(const StepResult& result, torch::optim::Optimizer& optimizer, LossScaler& loss_scaler) {
  if (!std::isfinite(result.loss) || !loss_scaler.unscale(optimizer.param_groups().front().params())) return false;
  const Range range = Range::of<UpdateRange>();
  optimizer.step();
  return true;
}

}  // namespace lcnn::train
