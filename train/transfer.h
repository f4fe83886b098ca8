// Trainings that start from a trained network: few-shot learning and transfer (LCNN paper, sections 4.3 and 4.4).
#pragma once

#include "train/checkpoint.h"

namespace lcnn::train {

// Gives the network a checkpoint's parameters, all but those of its output layer where the number of outputs differs: these stay
// as they were drawn. Returns whether they did. Throws std::runtime_error, one line that names the file and the tensor, when one
// is missing or of another shape.
bool start_from(const Checkpoint& checkpoint, Model& model);

// Has no training change the dictionaries, or the lookups (P, or the coefficients of given ones), of the network's LookupConv2d.
void freeze(Model& model, const Freeze& held);

// What a training changes.
std::vector<torch::Tensor> trained_parameters(const Model& model);

}  // namespace lcnn::train
