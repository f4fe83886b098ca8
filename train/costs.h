// What a network costs, for the line of an epoch.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "train/model.h"

namespace lcnn::train {

// Lookups left, the share of P that they are (the paper's sparsity), and multiplications of the convolutions for one image.
void add_costs(nlohmann::ordered_json& line, const Model& model);

}  // namespace lcnn::train
