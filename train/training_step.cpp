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

StepResult add_gradients(Model& model, const torch::Tensor& images, const torch::Tensor& targets, const Objective& objective, double weight) {
  StepResult result;
  torch::Tensor loss, minimized;
  {
    const Range range = Range::of<ForwardRange>();
    {
      const Autocast autocast(images.device().type(), objective.autocast);
      result.outputs = model.forward(images).to(torch::kFloat);
    }
    loss = loss_of(result.outputs, targets);
    minimized = objective.lambda > 0 ? loss + objective.lambda * model.sparsity_loss() : loss;
    if (weight != 1) minimized = minimized * weight;
    if (objective.loss_scaler != nullptr) minimized = objective.loss_scaler->scaled(minimized);
  }
  const Range range = Range::of<BackwardRange>();
  minimized.backward();
  result.loss = loss.item<double>();
  return result;
}

StepResult training_step(Model& model, torch::optim::Optimizer& optimizer, LossScaler& loss_scaler, const torch::Tensor& images,
                         const torch::Tensor& targets, double lambda, Precision autocast) {
  optimizer.zero_grad();
  StepResult result = add_gradients(model, images, targets, {.lambda = lambda, .autocast = autocast, .loss_scaler = &loss_scaler}, 1);
  if (!std::isfinite(result.loss) || !loss_scaler.unscale(optimizer.param_groups().front().params())) return result;
  const Range range = Range::of<UpdateRange>();
  optimizer.step();
  result.updated = true;
  return result;
}

}  // namespace lcnn::train
