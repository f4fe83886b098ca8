// resize_image against LibTorch's antialiased interpolation.
#include <gtest/gtest.h>
#include <torch/nn/functional/upsampling.h>
#include <torch/types.h>

#include "train/image.h"

namespace lcnn::train {
namespace {

TEST(ResizeImage, IsLibTorchsAntialiasedInterpolation) {
  torch::manual_seed(1);
  const std::int64_t sizes[][4] = {{37, 53, 16, 16}, {100, 75, 33, 25}, {9, 9, 32, 40}, {64, 20, 20, 64}, {50, 50, 50, 7}, {3, 200, 1, 1}};
  for (const auto& [height, width, new_height, new_width] : sizes) {
    const torch::Tensor pixels = torch::randint(256, {3, height, width}, torch::kByte).contiguous();
    Image image{{3, height, width}};
    image.pixels.assign(pixels.data_ptr<std::uint8_t>(), pixels.data_ptr<std::uint8_t>() + pixels.numel());
    Image resized = resize_image(image, new_height, new_width);
    ASSERT_EQ(resized, (ImageShape{3, new_height, new_width}));
    using Interpolation = torch::nn::functional::InterpolateFuncOptions;
    const torch::Tensor expected = torch::nn::functional::interpolate(
        pixels.unsqueeze(0).to(torch::kDouble),
        Interpolation().size(std::vector{new_height, new_width}).mode(torch::kBilinear).align_corners(false).antialias(true));
    const torch::Tensor got = torch::from_blob(resized.pixels.data(), expected.sizes(), torch::kByte).to(torch::kDouble);
    // Rounded to the nearest, but for the last digit of a float.
    EXPECT_LE((got - expected).abs().max().item<double>(), 0.501) << height << "x" << width << " to " << new_height << "x" << new_width;
  }
}

}  // namespace
}  // namespace lcnn::train
