#include "train/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "train/replace_file.h"
#include "variants/runtime.h"

namespace lcnn::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

InspectedLayer sum_of(const std::vector<InspectedLayer>& layers) {
  InspectedLayer sum{.name = "all"};
  for (const InspectedLayer& layer : layers) {
    sum.lookup_elements += layer.lookup_elements;
    sum.parameters += layer.parameters;
    sum.conv2d_parameters += layer.conv2d_parameters;
    sum.bytes += layer.bytes;
    sum.conv2d_bytes += layer.conv2d_bytes;
    sum.multiplications += layer.multiplications;
    sum.conv2d_multiplications += layer.conv2d_multiplications;
    sum.milliseconds += layer.milliseconds;
  }
  return sum;
}

std::int64_t lookups_of(const std::vector<InspectedLayer>& layers) {
  std::int64_t sum = 0;
  for (const InspectedLayer& layer : layers) sum += layer.weights.lookups.lookups();
  return sum;
}

double sparsity_of(const InspectedLayer& layer, std::int64_t lookups) {
  return static_cast<double>(lookups) / static_cast<double>(layer.lookup_elements);
}

std::string line_of(const InspectedLayer& layer, std::int64_t lookups, const InspectedLayer& sum) {
  const auto percent = [](double part, double whole) { return 100.0 * part / whole; };
  return fmt::format("{:<26}{:>11}{:>10} MEM={}({:.2f}%) bytes={} COMP={:.0f}({:.2f}%) ms={:.4f}({:.2f}%)\n", layer.name,
                     layer.dictionary_size > 0 ? std::to_string(layer.dictionary_size) : "-",
                     layer.lookup_elements > 0 ? fmt::format("{:.4f}", sparsity_of(layer, lookups)) : "-", layer.parameters,
                     percent(static_cast<double>(layer.parameters), static_cast<double>(sum.parameters)), layer.bytes,
                     layer.multiplications, percent(layer.multiplications, sum.multiplications), layer.milliseconds,
                     percent(layer.milliseconds, sum.milliseconds));
}

ordered_json costs_of(const InspectedLayer& layer, std::int64_t lookups) {
  ordered_json json{{"name", layer.name}};
  if (layer.dictionary_size > 0) json["dictionary_size"] = layer.dictionary_size;
  if (layer.lookup_elements > 0) {
    json["lookups"] = lookups;
    json["sparsity"] = sparsity_of(layer, lookups);
  }
  json.update({{"parameters", layer.parameters}, {"conv2d_parameters", layer.conv2d_parameters}, {"bytes", layer.bytes},
               {"conv2d_bytes", layer.conv2d_bytes}, {"multiplications", layer.multiplications},
               {"conv2d_multiplications", layer.conv2d_multiplications}, {"milliseconds", layer.milliseconds}});
  return json;
}

// [rows][columns][height][width]
ordered_json nested(const Tiles& tiles) {
  ordered_json rows = ordered_json::array();
  std::size_t next = 0;
  for (std::int64_t r = 0; r < tiles.rows; ++r) {
    ordered_json& row = rows.emplace_back(ordered_json::array());
    for (std::int64_t c = 0; c < tiles.columns; ++c) {
      ordered_json& tile = row.emplace_back(ordered_json::array());
      for (std::int64_t y = 0; y < tiles.height; ++y) {
        ordered_json& line = tile.emplace_back(ordered_json::array());
        for (std::int64_t x = 0; x < tiles.width; ++x) line.push_back(tiles.values[next++]);
      }
    }
  }
  return rows;
}

// Of each filter: the entries that it is made of, and at which place of its kernel.
ordered_json lookups_of(const LookupTable& table, std::int64_t filters) {
  ordered_json json = ordered_json::array();
  const std::int64_t taps = table.kernel[0] * table.kernel[1];
  for (std::int64_t filter = 0; filter < filters; ++filter) {
    ordered_json& entries = json.emplace_back(ordered_json::array());
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const auto row = static_cast<std::size_t>(filter * taps + tap);
      for (auto i = static_cast<std::size_t>(table.row_offsets[row]); i < static_cast<std::size_t>(table.row_offsets[row + 1]); ++i) {
        entries.push_back({{"row", tap / table.kernel[1]}, {"column", tap % table.kernel[1]}, {"entry", table.indices[i]},
                           {"coefficient", table.coefficients[i]}});
      }
    }
  }
  return json;
}

}  // namespace

std::string table_of(const std::vector<InspectedLayer>& layers) {
  const InspectedLayer sum = sum_of(layers);
  std::string text = fmt::format("{:<26}{:>11}{:>10}\n", "layer", "dictionary", "sparsity");
  for (const InspectedLayer& layer : layers) text += line_of(layer, layer.weights.lookups.lookups(), sum);
  text += line_of(sum, lookups_of(layers), sum);
  return text + fmt::format("as Conv2d: MEM={} bytes={} COMP={:.0f}\n", sum.conv2d_parameters, sum.conv2d_bytes, sum.conv2d_multiplications);
}

ordered_json to_json(const std::vector<InspectedLayer>& layers, const Predictor& predictor, const InspectOptions& options) {
  ordered_json json{{"checkpoint", options.checkpoint}, {"model", predictor.summary().architecture.model},
                    {"epoch", predictor.summary().epoch}, {"device", to_string(options.device)}, {"threads", threads()},
                    {"batch", options.batch}};
  if (!predictor.variant().empty()) json["variant"] = predictor.variant();
  json["layers"] = ordered_json::array();
  for (const InspectedLayer& layer : layers) json["layers"].push_back(costs_of(layer, layer.weights.lookups.lookups()));
  json["all"] = costs_of(sum_of(layers), lookups_of(layers));
  json["all"].erase("name");
  return json;
}

void write_weights(const std::vector<InspectedLayer>& layers, const InspectOptions& options) {
  const fs::path folder = options.out;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw std::runtime_error(fmt::format("--out={}: it is no folder that can be written", options.out));
  for (const InspectedLayer& layer : layers) {
    ordered_json json{{"name", layer.name}};
    const auto add = [&](const char* what, const Tiles& all) {
      const Tiles tiles = first_tiles(all, options.filters);
      if (tiles.rows == 0) return;
      write_grid(folder / fmt::format("{}_{}.png", layer.name, what), tiles);
      if (std::string_view(what) != "lookups") json[what] = nested(tiles);
    };
    add("dictionary", layer.dictionary);
    add("filters", layer.filters);
    add("lookups", layer.composition);
    if (layer.dictionary_size > 0) json["lookups"] = lookups_of(layer.weights.lookups, first_tiles(layer.composition, options.filters).rows);
    const std::string text = json.dump();
    replace_file(folder / (layer.name + ".json"), std::array{std::string_view(text)});
  }
}

}  // namespace lcnn::train
