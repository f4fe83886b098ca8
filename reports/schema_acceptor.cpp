#include "reports/schema_acceptor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <regex>
#include <set>
#include <stdexcept>
#include <vector>

namespace lcnn::reports {

using nlohmann::json;

struct SchemaAcceptor::Node {
  std::vector<std::string> types;  // any of them; none: all
  std::vector<json> values;        // of enum or const; none: all
  std::optional<double> minimum, exclusive_minimum;
  std::size_t min_length = 0, min_items = 0, max_items = SIZE_MAX;
  std::optional<std::regex> pattern;
  std::vector<std::string> required;
  std::map<std::string, const Node*> properties;
  bool only_these_properties = false;
  std::map<std::string, const Node*> dependencies;  // of the whole object, where it has that property
  const Node* additional_properties = nullptr;
  const Node* items = nullptr;
  const Node *condition = nullptr, *then = nullptr, *otherwise = nullptr;
  std::vector<const Node*> all_of;
};

SchemaAcceptor::SchemaAcceptor(const json& document, const std::string& definition)
    : root_(compile(document.at("definitions").at(definition), document)) {}

SchemaAcceptor::~SchemaAcceptor() = default;

const SchemaAcceptor::Node* SchemaAcceptor::compile(const json& schema, const json& document) {
  const auto compiled = [&](const json& part) { return compile(part, document); };
  static const std::set<std::string> kSaysNothing{"$schema", "title", "description", "definitions"};
  Node& node = *nodes_.emplace_back(std::make_unique<Node>());
  for (const auto& [keyword, value] : schema.items()) {
    if (kSaysNothing.contains(keyword)) continue;
    if (keyword == "$ref") {
      node.all_of.push_back(compiled(document.at(json::json_pointer(value.get<std::string>().substr(1)))));
    } else if (keyword == "type") {
      node.types =
          value.is_array() ? value.get<std::vector<std::string>>() : std::vector{value.get<std::string>()};
    } else if (keyword == "enum") {
      node.values = value.get<std::vector<json>>();
    } else if (keyword == "const") {
      node.values = {value};
    } else if (keyword == "minimum") {
      node.minimum = value.get<double>();
    } else if (keyword == "exclusiveMinimum") {
      node.exclusive_minimum = value.get<double>();
    } else if (keyword == "minLength") {
      node.min_length = value.get<std::size_t>();
    } else if (keyword == "pattern") {
      node.pattern.emplace(value.get<std::string>());
    } else if (keyword == "minItems") {
      node.min_items = value.get<std::size_t>();
    } else if (keyword == "maxItems") {
      node.max_items = value.get<std::size_t>();
    } else if (keyword == "items" && value.is_object()) {
      node.items = compiled(value);
    } else if (keyword == "required") {
      node.required = value.get<std::vector<std::string>>();
    } else if (keyword == "properties") {
      for (const auto& [name, property] : value.items()) node.properties[name] = compiled(property);
    } else if (keyword == "additionalProperties" && value.is_boolean()) {
      node.only_these_properties = !value.get<bool>();
    } else if (keyword == "additionalProperties") {
      node.additional_properties = compiled(value);
    } else if (keyword == "dependencies") {
      for (const auto& [name, dependent] : value.items())
        node.dependencies[name] = compiled(dependent.is_array() ? json{{"required", dependent}} : dependent);
    } else if (keyword == "allOf") {
      for (const json& part : value) node.all_of.push_back(compiled(part));
    } else if (keyword == "if") {
      node.condition = compiled(value);
    } else if (keyword == "then") {
      node.then = compiled(value);
    } else if (keyword == "else") {
      node.otherwise = compiled(value);
    } else {
      throw std::invalid_argument(fmt::format("the schema's keyword {} is not known", keyword));
    }
  }
  return &node;
}

bool SchemaAcceptor::accepts(const json& value) const {
  try {
    return holds(*root_, value);
  } catch (const Unsure&) {
    return false;
  }
}

bool SchemaAcceptor::has_type(const Node& node, const json& value) {
  bool maybe = false;
  for (const std::string& type : node.types) {
    if (type == "integer" && value.is_number_float()) maybe = true;
    if ((type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
        (type == "string" && value.is_string()) || (type == "number" && value.is_number()) ||
        (type == "integer" && value.is_number_integer()) || (type == "boolean" && value.is_boolean()) ||
        (type == "null" && value.is_null()))
      return true;
  }
  if (maybe) throw Unsure();
  return node.types.empty();
}

bool SchemaAcceptor::equal(const json& a, const json& b) {
  if (a.is_number_float() || b.is_number_float() || a.is_structured() || b.is_structured()) throw Unsure();
  return a == b;
}

bool SchemaAcceptor::holds(const Node& node, const json& value) {
  if (!has_type(node, value)) return false;
  if (!node.values.empty() &&
      std::ranges::none_of(node.values, [&](const json& allowed) { return equal(allowed, value); }))
    return false;
  if (value.is_number()) {
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)
      throw Unsure();  // negative to valijson
    const double number = value.get<double>();
    if (node.minimum && !(number >= *node.minimum)) return false;
    if (node.exclusive_minimum && !(number > *node.exclusive_minimum)) return false;
  } else if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    const auto is_first_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    if (node.min_length > 0 && text.find('\0') != std::string::npos)
      throw Unsure();  // the end of it to valijson
    if (node.min_length > 0 &&
        std::ranges::count_if(text, is_first_byte) < static_cast<std::ptrdiff_t>(node.min_length))
      return false;
    if (node.pattern && !std::regex_search(text, *node.pattern)) return false;
  } else if (value.is_array()) {
    if (value.size() < node.min_items || value.size() > node.max_items) return false;
    if (node.items != nullptr &&
        !std::ranges::all_of(value, [&](const json& item) { return holds(*node.items, item); }))
      return false;
  } else if (value.is_object() && !holds_for_object(node, value)) {
    return false;
  }
  if (node.condition != nullptr) {
    const Node* then = holds(*node.condition, value) ? node.then : node.otherwise;
    if (then != nullptr && !holds(*then, value)) return false;
  }
  return std::ranges::all_of(node.all_of, [&](const Node* part) { return holds(*part, value); });
}

bool SchemaAcceptor::holds_for_object(const Node& node, const json& object) {
  for (const std::string& name : node.required) {
    if (!object.contains(name)) return false;
  }
  for (const auto& [name, dependent] : node.dependencies) {
    if (object.contains(name) && !holds(*dependent, object)) return false;
  }
  if (node.properties.empty() && node.additional_properties == nullptr && !node.only_these_properties)
    return true;
  // Both are sorted by name.
  auto property = node.properties.begin();
  for (const auto& [name, value] : object.get_ref<const json::object_t&>()) {
    while (property != node.properties.end() && property->first < name) ++property;
    if (property != node.properties.end() && property->first == name) {
      if (!holds(*property->second, value)) return false;
    } else if (node.only_these_properties) {
      return false;
    } else if (node.additional_properties != nullptr && !holds(*node.additional_properties, value)) {
      return false;
    }
  }
  return true;
}

}  // namespace lcnn::reports
