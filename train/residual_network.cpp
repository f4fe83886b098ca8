#include "train/residual_network.h"

#include "train/rectified.h"

namespace lcnn::train {

ConvolutionLayer& ResidualNetwork::add(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return add_normalized_convolution(name, torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

void ResidualNetwork::add_block(const std::string& name, std::int64_t in, std::int64_t out, std::int64_t stride, Shortcut shortcut) {
  Block block{.first = add(name + "_conv1", in, out, 3, stride),
              .second = add(name + "_conv2", out, out, 3, 1),
              .projection = nullptr,
              .stride = stride,
              .new_channels = out - in};
  if (out != in && shortcut == Shortcut::projection) block.projection = &add(name + "_shortcut", in, out, 1, stride);
  blocks_.push_back(std::move(block));
}

ResidualNetwork::ResidualNetwork(const Architecture& architecture, const ResidualDesign& design)
    : Model(architecture),
      pool_(design.pool),
      first_(add("conv1", architecture.shape.channels, design.channels.front(), design.kernel, design.stride)) {
  std::int64_t in = design.channels.front();
  for (std::size_t stage = 0; stage < design.channels.size(); ++stage) {
    const std::int64_t out = design.channels[stage];
    for (int block = 0; block < design.blocks; ++block) {
      add_block("stage" + std::to_string(stage + 1) + "_block" + std::to_string(block + 1), in, out,
                stage > 0 && block == 0 ? 2 : 1, design.shortcut);
      in = out;
    }
  }
  linear_ = register_module("linear", torch::nn::Linear(in, architecture.classes));
}

torch::Tensor ResidualNetwork::Block::forward(const torch::Tensor& x) {
  const torch::Tensor y = second.forward(rectified(first.forward(x)));
  if (projection != nullptr) return rectified_sum(y, projection->forward(x));
  if (new_channels == 0) return rectified_sum(y, x);
  const torch::Tensor sampled = x.slice(2, 0, {}, stride).slice(3, 0, {}, stride);
  const std::int64_t before = new_channels / 2;
  return rectified_sum(y, torch::constant_pad_nd(sampled, {0, 0, 0, 0, before, new_channels - before}));
}

torch::Tensor ResidualNetwork::forward(const torch::Tensor& images) {
  torch::Tensor x = rectified(first_.forward(images));
  if (pool_) x = torch::max_pool2d(x, 3, 2, 1);
  for (Block& block : blocks_) x = block.forward(x);
  return linear_->forward(x.mean({2, 3}));
}

}  // namespace lcnn::train
