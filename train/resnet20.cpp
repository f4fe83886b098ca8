// ResNet-20 (He et al., 2016, section 4.2), for images of CIFAR's size.
#include "train/residual_network.h"

namespace lcnn::train {

std::shared_ptr<Model> make_resnet20(const Architecture& architecture) {
  return std::make_shared<ResidualNetwork>(
      architecture, ResidualDesign{.channels = {16, 32, 64}, .blocks = 3, .shortcut = Shortcut::padding});
}

}  // namespace lcnn::train
