// LeNet-5 (LeCun et al., 1998) with ReLU and maximum pooling, as it is usually trained today.
#include <torch/nn/modules/linear.h>

#include "train/model.h"

namespace lcnn::train {
namespace {

class LeNet final : public Model {
 public:
  explicit LeNet(const Architecture& a)
      : Model(a),
        conv1_(add_convolution("conv1", torch::nn::Conv2dOptions(a.shape.channels, 6, 5).padding(2))),
        conv2_(add_convolution("conv2", torch::nn::Conv2dOptions(6, 16, 5))) {
    const auto extent = [](std::int64_t image) { return (image / 2 - 4) / 2; };
    linear1_ = register_module("linear1", torch::nn::Linear(16 * extent(a.shape.height) * extent(a.shape.width), 120));
    linear2_ = register_module("linear2", torch::nn::Linear(120, 84));
    linear3_ = register_module("linear3", torch::nn::Linear(84, a.classes));
  }
  torch::Tensor forward(const torch::Tensor& images) override {
    const torch::Tensor first = torch::max_pool2d(conv1_.forward(images).relu(), 2);
    const torch::Tensor second = torch::max_pool2d(conv2_.forward(first).relu(), 2);
    return linear3_->forward(linear2_->forward(linear1_->forward(second.flatten(1)).relu()).relu());
  }

 private:
  ConvolutionLayer &conv1_, &conv2_;
  torch::nn::Linear linear1_{nullptr}, linear2_{nullptr}, linear3_{nullptr};
};

}  // namespace

std::shared_ptr<Model> make_lenet(const Architecture& architecture) { return std::make_shared<LeNet>(architecture); }

}  // namespace lcnn::train
