// One convolution and a linear layer: the smallest network in which LookupConv2d can be compared with Conv2d.
#include <torch/nn/modules/linear.h>

#include "train/model.h"

namespace lcnn::train {
namespace {

class OneLayer final : public Model {
 public:
  OneLayer(const Architecture& a, std::int64_t channels, bool bias)
      : Model(a), conv_(add_convolution("conv", torch::nn::Conv2dOptions(a.shape.channels, channels, 3).padding(1).bias(bias))) {
    linear_ = register_module("linear", torch::nn::Linear(channels * (a.shape.height / 2) * (a.shape.width / 2), a.classes));
  }
  torch::Tensor forward(const torch::Tensor& images) override {
    return linear_->forward(torch::max_pool2d(conv_.forward(images).relu(), 2).flatten(1));
  }

 private:
  ConvolutionLayer& conv_;
  torch::nn::Linear linear_{nullptr};
};

}  // namespace

std::shared_ptr<Model> make_one_layer(const Architecture& architecture) { return std::make_shared<OneLayer>(architecture, 32, true); }

std::shared_ptr<Model> make_lcnn_pytorch(const Architecture& architecture) {
  return std::make_shared<OneLayer>(architecture, 64, false);
}

}  // namespace lcnn::train
