// Two convolutions with pooling and two linear layers: what is usually trained on Fashion-MNIST.
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include "train/model.h"

namespace lcnn::train {
namespace {

class Cnn final : public Model {
 public:
  explicit Cnn(const Architecture& a)
      : Model(a),
        conv1_(add_convolution("conv1", torch::nn::Conv2dOptions(a.shape.channels, 32, 3).padding(1))),
        conv2_(add_convolution("conv2", torch::nn::Conv2dOptions(32, 64, 3).padding(1))) {
    linear1_ = register_module("linear1", torch::nn::Linear(64 * (a.shape.height / 4) * (a.shape.width / 4), 128));
    dropout_ = register_module("dropout", torch::nn::Dropout(0.3));
    linear2_ = register_module("linear2", torch::nn::Linear(128, a.classes));
  }
  torch::Tensor forward(const torch::Tensor& images) override {
    const torch::Tensor first = torch::max_pool2d(conv1_.forward(images).relu(), 2);
    const torch::Tensor second = torch::max_pool2d(conv2_.forward(first).relu(), 2);
    return linear2_->forward(dropout_->forward(linear1_->forward(second.flatten(1)).relu()));
  }

 private:
  ConvolutionLayer &conv1_, &conv2_;
  torch::nn::Linear linear1_{nullptr}, linear2_{nullptr};
  torch::nn::Dropout dropout_{nullptr};
};

}  // namespace

std::shared_ptr<Model> make_cnn(const Architecture& architecture) { return std::make_shared<Cnn>(architecture); }

}  // namespace lcnn::train
