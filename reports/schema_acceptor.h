// A quick first look at a value by a JSON Schema: most values of a large report are valid, and the validator
// that can say what is wrong takes several times as long to find nothing.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lcnn::reports {

class SchemaAcceptor {
 public:
  // Of draft 7, the keywords that reports/schema.json uses; `definition` is a name in its definitions, none
  // of which may lead back to itself. Throws std::invalid_argument, which names the keyword, for any other.
  SchemaAcceptor(const nlohmann::json& document, const std::string& definition);
  ~SchemaAcceptor();
  SchemaAcceptor(const SchemaAcceptor&) = delete;
  SchemaAcceptor& operator=(const SchemaAcceptor&) = delete;

  // True only for a valid value. False where it is not valid, and where that takes a closer look: 1.0 as an
  // integer.
  bool accepts(const nlohmann::json& value) const;

 private:
  struct Node;
  struct Unsure {};

  const Node* compile(const nlohmann::json& schema, const nlohmann::json& document);
  static bool holds(const Node& node, const nlohmann::json& value);
  static bool holds_for_object(const Node& node, const nlohmann::json& object);
  static bool has_type(const Node& node, const nlohmann::json& value);
  static bool equal(const nlohmann::json& a, const nlohmann::json& b);

  std::vector<std::unique_ptr<Node>> nodes_;
  const Node* root_ = nullptr;
};

}  // namespace lcnn::reports
