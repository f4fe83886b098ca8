// What lcnn_inspect says of layers: a table, as hessamb/lcnn's benchmark counts, and each layer's weights.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "train/inspect_options.h"
#include "train/predictor.h"

namespace lcnn::train {

// The layers' lines and their sum's: dictionary, sparsity (the share of P that is not zero), MEM, bytes, COMP, ms.
std::string table_of(const std::vector<InspectedLayer>& layers);

// The table's numbers with those of the network as Conv2d.
nlohmann::ordered_json to_json(const std::vector<InspectedLayer>& layers, const Predictor& predictor, const InspectOptions& options);

// LAYER_dictionary.png, LAYER_filters.png, LAYER_lookups.png and LAYER.json of every layer, in options.out. Throws
// std::runtime_error, one line, when they cannot be written.
void write_weights(const std::vector<InspectedLayer>& layers, const InspectOptions& options);

}  // namespace lcnn::train
