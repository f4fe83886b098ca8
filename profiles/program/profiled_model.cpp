#include "profiles/program/profiled_model.h"

#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "train/model.h"
#include "train/optimizer.h"
#include "train/training_step.h"

namespace lcnn::profiles {

struct ProfiledModel::Parts {
  std::shared_ptr<train::Model> model;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  torch::Tensor images, labels;
  double lambda = 0;
  bool cuda = false;
};

ProfiledModel::ProfiledModel(const train::Options& options) : parts_(std::make_unique<Parts>()) {
  torch::manual_seed(options.seed);
  parts_->cuda = options.device == Device::cuda;
  parts_->lambda = options.lambda;
  const torch::Device device = parts_->cuda ? torch::kCUDA : torch::kCPU;
  const train::Architecture& architecture = options.architecture;
  parts_->model = train::make_model(architecture);
  parts_->model->to(device);
  parts_->model->train();
  parts_->optimizer = train::make_optimizer(options, parts_->model->parameters());
  parts_->images = torch::randn({options.batch, architecture.shape.channels, architecture.shape.height, architecture.shape.width}).to(device);
  parts_->labels = torch::randint(architecture.classes, {options.batch}, torch::kLong).to(device);
}

ProfiledModel::~ProfiledModel() = default;

double ProfiledModel::step() {
  const double loss =
      train::training_step(*parts_->model, *parts_->optimizer, parts_->images, parts_->labels, parts_->lambda).loss;
  if (parts_->cuda) torch::cuda::synchronize();
  return loss;
}

}  // namespace lcnn::profiles
