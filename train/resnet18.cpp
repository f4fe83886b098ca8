// ResNet-18 (He et al., 2016), for images of ImageNet's size.
#include "train/residual_network.h"

namespace lcnn::train {

std::shared_ptr<Model> make_resnet18(const Architecture& architecture) {
  return std::make_shared<ResidualNetwork>(
      architecture, ResidualDesign{.kernel = 7, .stride = 2, .pool = true, .channels = {64, 128, 256, 512}, .blocks = 2,
                                   .shortcut = Shortcut::projection});
}

}  // namespace lcnn::train
