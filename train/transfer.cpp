#include "train/transfer.h"

#include <torch/types.h>

namespace lcnn::train {

bool start_from(const Checkpoint& checkpoint, Model& model) {
  const torch::Tensor outputs = model.named_parameters()[model.output_layer() + ".bias"];
  const bool replaced = checkpoint.architecture.classes != outputs.numel();
  restore_model(checkpoint, model, replaced ? model.output_layer() : "");
  return replaced;
}

void freeze(Model& model, const Freeze& held) {
  for (ConvolutionLayer& layer : model.convolutions()) {
    if (layer.lookup.is_empty()) continue;
    if (held.dictionary) layer.lookup->dictionary.requires_grad_(false);
    torch::Tensor& lookups = layer.lookup->options.method() == LookupMethod::pooled ? layer.lookup->lookup_weight : layer.lookup->lookup_coefficients;
    if (held.lookups) lookups.requires_grad_(false);
  }
}

std::vector<torch::Tensor> trained_parameters(const Model& model) {
  std::vector<torch::Tensor> trained;
  for (const torch::Tensor& parameter : model.parameters()) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
  return trained;
}

}  // namespace lcnn::train
