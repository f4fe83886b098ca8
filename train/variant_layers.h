// Inference of a network whose LookupConv2d layers are computed by a variant of the variant table.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/variant.h"
#include "train/model.h"
#include "train/predictor.h"
#include "variants/runtime.h"

namespace lcnn::train {

// Throws std::invalid_argument, one line, when the device has no variant of that name, or one that computes something else than
// the layer.
const Variant& variant_named(const std::string& name, Device device);

// Has every LookupConv2d of a network, in fp32, computed by the variant, or by `fallback` where that does not support it. Each is prepared when it first runs, and again when its
// input is of another size. The network must not change meanwhile, nor run after this object's end.
class VariantLayers {
 public:
  // Both are of one device. A layer that neither supports throws std::invalid_argument, one line, when it runs.
  VariantLayers(Model& model, const Variant& variant, const Variant& fallback);
  ~VariantLayers();

  // Of the layers that have run, in the network's order.
  std::vector<LayerChoice> choices() const;

 private:
  class PreparedLayer;
  std::unique_ptr<CountingAllocator> allocator_;
  std::vector<std::unique_ptr<PreparedLayer>> layers_;
};

}  // namespace lcnn::train
