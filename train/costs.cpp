#include "train/costs.h"

#include <nlohmann/json.hpp>

namespace lcnn::train {

void add_costs(nlohmann::ordered_json& line, const Model& model) {
  LayerCost sum;
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  const auto add = [](nlohmann::ordered_json& json, const LayerCost& cost) {
    if (cost.lookup_elements > 0) {
      json["lookups"] = cost.lookups;
      json["sparsity"] = static_cast<double>(cost.lookups) / static_cast<double>(cost.lookup_elements);
    }
    json["multiplications"] = cost.multiplications;
    json["conv2d_multiplications"] = cost.conv2d_multiplications;
  };
  for (const LayerCost& cost : model.costs()) {
    sum.lookups += cost.lookups;
    sum.lookup_elements += cost.lookup_elements;
    sum.multiplications += cost.multiplications;
    sum.conv2d_multiplications += cost.conv2d_multiplications;
    nlohmann::ordered_json& layer = layers.emplace_back(nlohmann::ordered_json{{"name", cost.name}});
    if (cost.dictionary_size > 0) layer["dictionary_size"] = cost.dictionary_size;
    add(layer, cost);
  }
  add(line, sum);
  line["layers"] = layers;
}

}  // namespace lcnn::train
