#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/workload.h"

namespace lcnn::bench {
namespace {

using nlohmann::json;

// Reads one field's value; throws std::invalid_argument that says what is accepted.
using FieldReader = std::function<void(Layer&, const json&)>;

// "width is -3", "width is \"wide\"": large values are cut.
std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() > 40 ? text.substr(0, 37) + "..." : text;
}

// JSON's whole numbers are unsigned unless they are negative; no extent is near the most.
std::int64_t whole_number(const json& value) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 31;
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > kMost)) {
    throw std::invalid_argument(fmt::format("is {}: a whole number up to {} is accepted", shown(value), kMost));
  }
  return value.get<std::int64_t>();
}

Pair pair_of(const json& value) {
  if (value.is_number()) return {whole_number(value), whole_number(value)};
  if (!value.is_array() || value.size() != 2) {
    throw std::invalid_argument(fmt::format("is {}: a whole number or [height, width] is accepted", shown(value)));
  }
  return {whole_number(value[0]), whole_number(value[1])};
}

double number(const json& value) {
  if (!value.is_number()) throw std::invalid_argument(fmt::format("is {}: a number is accepted", shown(value)));
  return value.get<double>();
}

std::string text(const json& value) {
  const auto is_control = [](char character) { return std::iscntrl(static_cast<unsigned char>(character)) != 0; };
  if (!value.is_string() || value.get<std::string>().empty() ||
      std::ranges::any_of(value.get<std::string>(), is_control)) {
    throw std::invalid_argument(fmt::format("is {}: a text of one line is accepted", shown(value)));
  }
  return value.get<std::string>();
}

bool truth(const json& value) {
  if (!value.is_boolean()) throw std::invalid_argument(fmt::format("is {}: true or false is accepted", shown(value)));
  return value.get<bool>();
}

Granularity granularity_of(const json& value) {
  if (value == "vector") return Granularity::vector;
  if (value == "filter") return Granularity::filter;
  throw std::invalid_argument(fmt::format("is {}: \"vector\" or \"filter\" is accepted", shown(value)));
}

const std::map<std::string, FieldReader>& field_readers() {
  static const std::map<std::string, FieldReader> kReaders{
      {"name", [](Layer& l, const json& v) { l.name = text(v); }},
      {"in_channels", [](Layer& l, const json& v) { l.conv.in_channels = whole_number(v); }},
      {"out_channels", [](Layer& l, const json& v) { l.conv.out_channels = whole_number(v); }},
      {"kernel", [](Layer& l, const json& v) { l.conv.kernel = pair_of(v); }},
      {"stride", [](Layer& l, const json& v) { l.conv.stride = pair_of(v); }},
      {"padding", [](Layer& l, const json& v) { l.conv.padding = pair_of(v); }},
      {"dilation", [](Layer& l, const json& v) { l.conv.dilation = pair_of(v); }},
      {"groups", [](Layer& l, const json& v) { l.conv.groups = whole_number(v); }},
      {"height", [](Layer& l, const json& v) { l.conv.height = whole_number(v); }},
      {"width", [](Layer& l, const json& v) { l.conv.width = whole_number(v); }},
      {"batch", [](Layer& l, const json& v) { l.batches = {whole_number(v)}; }},
      {"bias", [](Layer& l, const json& v) { l.conv.bias = truth(v); }},
      {"dictionary_size", [](Layer& l, const json& v) { l.dictionaries[0].size = whole_number(v); }},
      {"sparsity", [](Layer& l, const json& v) { l.dictionaries[0].sparsity = number(v); }},
      {"granularity", [](Layer& l, const json& v) { l.granularity = granularity_of(v); }},
  };
  return kReaders;
}

constexpr const char* kRequired[] = {"in_channels", "out_channels", "kernel", "height", "width", "dictionary_size"};

Layer layer_of(const json& fields, const std::string& set, std::size_t index) {
  Layer layer{.set = set, .name = fmt::format("layer{}", index), .dictionaries = {{"", 0, 1.0}}, .batches = {1}};
  if (!fields.is_object()) throw std::invalid_argument(fmt::format("is {}: an object is accepted", shown(fields)));
  for (const char* field : kRequired) {
    if (!fields.contains(field)) throw std::invalid_argument(fmt::format("lacks {}", field));
  }
  for (const auto& [field, value] : fields.items()) {
    const auto reader = field_readers().find(field);
    if (reader == field_readers().end()) throw std::invalid_argument(fmt::format("has an unknown field {}", shown(field)));
    try {
      reader->second(layer, value);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(fmt::format("{} {}", field, error.what()));
    }
  }
  const Dictionary& dictionary = layer.dictionaries[0];
  layer.conv.batch = layer.batches[0];
  validate(LookupProblem{layer.conv, dictionary.size, layer.granularity});
  const double most = static_cast<double>(dictionary.size) / static_cast<double>(layer.conv.groups);
  if (!(dictionary.sparsity >= 0 && dictionary.sparsity <= most)) {
    throw std::invalid_argument(fmt::format("sparsity is {}: 0 to dictionary_size / groups = {} is accepted",
                                            dictionary.sparsity, most));
  }
  layer.dictionaries[0] = sized_dictionary(dictionary.size, dictionary.sparsity);
  return layer;
}

}  // namespace

std::vector<Layer> layers_from_file(const std::string& path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) throw std::invalid_argument(fmt::format("{}: cannot be read", path));
  json document;
  try {
    document = json::parse(file);
  } catch (const json::parse_error& error) {
    throw std::invalid_argument(fmt::format("{}: not JSON: byte {} cannot be parsed", path, error.byte));
  } catch (const json::out_of_range&) {
    throw std::invalid_argument(fmt::format("{}: not JSON: a number is too large to be represented", path));
  }
  if (document.is_object()) {
    for (const auto& [field, value] : document.items()) {
      if (field != "layers") throw std::invalid_argument(fmt::format("{}: unknown field {} beside layers", path, shown(field)));
    }
  }
  const json& list = document.is_object() && document.contains("layers") ? document["layers"] : document;
  if (!list.is_array() || list.empty()) {
    throw std::invalid_argument(fmt::format("{}: a non-empty list of layers, or {{\"layers\": [...]}}, is accepted", path));
  }
  const std::string set = std::filesystem::path(path).stem().string();
  std::vector<Layer> layers;
  for (std::size_t i = 0; i < list.size(); ++i) {
    try {
      layers.push_back(layer_of(list[i], set, i));
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(fmt::format("{}: layer {} {}", path, i, error.what()));
    }
    for (std::size_t earlier = 0; earlier < i; ++earlier) {
      if (layers[earlier].name == layers[i].name) {
        throw std::invalid_argument(fmt::format("{}: layers {} and {} are both named '{}'", path, earlier, i, layers[i].name));
      }
    }
  }
  return layers;
}

}  // namespace lcnn::bench
