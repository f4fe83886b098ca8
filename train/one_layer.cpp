// One convolution and a linear layer: the smallest network in which LookupConv2d can be compared with Conv2d.
#include <torch/nn/modules/linear.h>

#include "train/model.h"

namespace lcnn::train {
namespace {

class OneLayer final : public Model {
 public:
  explicit OneLayer(const Architecture& a)
      : Model(a), conv_(add_convolution("conv", torch::nn::Conv2dOptions(a.shape.channels, 32, 3).padding(1))) {
    linear_ = register_module("linear", torch::nn::Linear(32 * (a.shape.height / 2) * (a.shape.width / 2), a.classes));
  }
  torch::Tensor forward(const torch::Tensor& images) override {
    return linear_->forward(torch::max_pool2d(conv_.forward(images).relu(), 2).flatten(1));
  }

 private:
  ConvolutionLayer& conv_;
  torch::nn::Linear linear_{nullptr};
};

}  // namespace

std::shared_ptr<Model> make_one_layer(const Architecture& architecture) { return std::make_shared<OneLayer>(architecture); }

}  // namespace lcnn::train
