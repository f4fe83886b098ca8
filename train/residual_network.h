// Networks of basic residual blocks (He et al., 2016): a first convolution, stages of blocks, the mean over all positions, a
// linear layer. Every convolution is without bias and followed by batch normalization.
#pragma once

#include <torch/nn/modules/linear.h>

#include <string>
#include <vector>

#include "train/model.h"

namespace lcnn::train {

// How a block whose output is of another shape than its input adds that to it.
enum class Shortcut {
  projection,  // through a 1x1 convolution
  padding,     // every other pixel, zeros for the channels that are new
};

struct ResidualDesign {
  std::int64_t kernel = 3, stride = 1;  // of the first convolution, padded to keep the size when the stride is 1
  bool pool = false;                    // 3x3 maximum pooling of stride 2 behind it
  std::vector<std::int64_t> channels;   // of each stage; every stage but the first halves height and width
  int blocks = 2;                       // of each stage
  Shortcut shortcut = Shortcut::projection;
};

class ResidualNetwork final : public Model {
 public:
  ResidualNetwork(const Architecture& architecture, const ResidualDesign& design);
  torch::Tensor forward(const torch::Tensor& images) override;

 private:
  struct Block {
    ConvolutionLayer &first, &second;
    ConvolutionLayer* projection;  // null: none
    std::int64_t stride, new_channels;

    torch::Tensor forward(const torch::Tensor& x);
  };
  ConvolutionLayer& add(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride);
  void add_block(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t stride, Shortcut shortcut);

  const bool pool_;
  ConvolutionLayer& first_;
  std::vector<Block> blocks_;
  torch::nn::Linear linear_{nullptr};
};

}  // namespace lcnn::train
