// A network whose convolutions are Conv2d or LookupConv2d, as its architecture says.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>

#include <deque>
#include <functional>
#include <string>

#include "train/architecture.h"
#include "variants/lookup_conv2d.h"

namespace lcnn::train {

// One convolution of a network: one of the first two is set.
struct ConvolutionLayer {
  std::string name;
  torch::nn::Conv2d conv2d{nullptr};
  LookupConv2d lookup{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};  // behind it; null: none
  torch::Tensor scale, shift;            // [out_channels], of what the LookupConv2d gives: a folded normalization; undefined: none
  Pair input{0, 0};  // height and width of what it saw last
  // What computes the layer with `scale` and `shift` when it is set (train/variant_layers.h), instead of the module.
  std::function<torch::Tensor(const torch::Tensor& input)> evaluate;

  torch::Tensor forward(const torch::Tensor& input);
};

// What a convolution costs for one image.
struct LayerCost {
  std::string name;
  std::int64_t dictionary_size = 0;   // 0 for Conv2d, like the next two
  std::int64_t lookups = 0;           // non-zeros of P
  std::int64_t lookup_elements = 0;   // elements of P
  double multiplications = 0;         // as it is
  double conv2d_multiplications = 0;  // as a Conv2d
};

class Model : public torch::nn::Module {
 public:
  // images [batch, channels, height, width] -> [batch, classes] before the softmax.
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;

  const std::deque<ConvolutionLayer>& convolutions() const { return convolutions_; }
  std::deque<ConvolutionLayer>& convolutions() { return convolutions_; }
  // The name of the layer that gives the outputs: the last one.
  std::string output_layer() const { return named_children().back().key(); }
  // The sum over its layers (variants/lookup_conv2d.h); undefined when there is no LookupConv2d.
  torch::Tensor sparsity_loss() const;
  // Lays the weights of convolutions out with channels last, as Conv2d is fastest for such images on some devices.
  void to_channels_last();
  // Makes what normalizations do in evaluation a part of the convolutions in front of them: the same outputs but for rounding, in fewer
  // passes over memory. For prediction alone: the network can be neither trained nor stored after it.
  void fold_normalizations();
  // How its LookupConv2d layers are computed (variants/lookup_conv2d.h).
  void set_evaluation(LookupEvaluation evaluation);
  // Of each convolution, for images of the size that the network saw last.
  std::vector<LayerCost> costs() const;

 protected:
  explicit Model(const Architecture& architecture) : architecture_(architecture) {}
  // Registers the next convolution under that name; the reference lives as long as the network.
  ConvolutionLayer& add_convolution(const std::string& name, const torch::nn::Conv2dOptions& options);
  // The same with batch normalization behind it, under its name and "_norm".
  ConvolutionLayer& add_normalized_convolution(const std::string& name, const torch::nn::Conv2dOptions& options);

  const Architecture architecture_;

 private:
  std::deque<ConvolutionLayer> convolutions_;
};

}  // namespace lcnn::train
