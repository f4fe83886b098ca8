// LibTorch's automatic mixed precision for a scope, as torch.autocast.
#pragma once

#include <ATen/autocast_mode.h>

#include "kernels/problem.h"

namespace lcnn::train {

// Convolutions and linear layers of the device compute in the precision (fp16 or bf16) while it lives; fp32 changes nothing.
// Parameters and their gradients stay float32.
class Autocast {
 public:
  Autocast(at::DeviceType device, Precision precision)
      : device_(device), enabled_before_(at::autocast::is_autocast_enabled(device)), type_before_(at::autocast::get_autocast_dtype(device)) {
    if (precision == Precision::fp32) return;
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::set_autocast_dtype(device, precision == Precision::fp16 ? at::kHalf : at::kBFloat16);
  }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, enabled_before_);
    at::autocast::set_autocast_dtype(device_, type_before_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const at::DeviceType device_;
  const bool enabled_before_;
  const at::ScalarType type_before_;
};

}  // namespace lcnn::train
