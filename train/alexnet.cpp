// AlexNet of one tower (Krizhevsky, 2014) as LCNN trains it: its first two fully connected layers are convolutions, and every
// convolution is followed by batch normalization.
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include "train/model.h"
#include "train/rectified.h"

namespace lcnn::train {
namespace {

constexpr std::int64_t kFeatureExtent = 6;  // height and width of what fc6 takes; images of 224x224 give it as it is

class AlexNet final : public Model {
 public:
  explicit AlexNet(const Architecture& a) : Model(a) {
    using Options = torch::nn::Conv2dOptions;
    add("conv1", Options(a.shape.channels, 64, 11).stride(4).padding(2));
    add("conv2", Options(64, 192, 5).padding(2));
    add("conv3", Options(192, 384, 3).padding(1));
    add("conv4", Options(384, 256, 3).padding(1));
    add("conv5", Options(256, 256, 3).padding(1));
    add("fc6", Options(256, 4096, kFeatureExtent));
    add("fc7", Options(4096, 4096, 1));
    dropout_ = register_module("dropout", torch::nn::Dropout(0.5));
    linear_ = register_module("linear", torch::nn::Linear(4096, a.classes));
  }
  torch::Tensor forward(const torch::Tensor& images) override {
    const auto pooled = [](const torch::Tensor& x) { return torch::max_pool2d(x, 3, 2); };
    torch::Tensor x = pooled(layer(1, pooled(layer(0, images))));
    x = pooled(layer(4, layer(3, layer(2, x))));
    x = torch::adaptive_avg_pool2d(x, {kFeatureExtent, kFeatureExtent});
    x = layer(6, dropout_->forward(layer(5, dropout_->forward(x))));
    return linear_->forward(x.flatten(1));
  }

 private:
  void add(const char* name, const torch::nn::Conv2dOptions& options) {
    convolutions_.push_back(&add_normalized_convolution(name, options));
  }
  torch::Tensor layer(std::size_t i, const torch::Tensor& x) { return rectified(convolutions_[i]->forward(x)); }

  std::vector<ConvolutionLayer*> convolutions_;
  torch::nn::Dropout dropout_{nullptr};
  torch::nn::Linear linear_{nullptr};
};

}  // namespace

std::shared_ptr<Model> make_alexnet(const Architecture& architecture) { return std::make_shared<AlexNet>(architecture); }

}  // namespace lcnn::train
