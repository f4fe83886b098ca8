#include "reports/thresholds.h"

#include <fmt/format.h>

#include <stdexcept>

#include "reports/escape.h"

namespace lcnn::reports {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw std::invalid_argument(fmt::format("{}: {}", where, what));
}

// `least`: what the value has to reach at least.
double number(const json& value, const std::string& where, double least) {
  if (!value.is_number() || !(value.get<double>() >= least))
    refuse(where, fmt::format("has to be a number of at least {}", least));
  return value.get<double>();
}

// Puts the fields of `object` into `limits`; `name` is not one of them.
void apply(const json& object, const std::string& where, Limits& limits) {
  if (!object.is_object()) refuse(where, "has to be an object");
  for (const auto& [field, value] : object.items()) {
    const std::string place = fmt::format("{}.{}", where, visible(field));
    const auto optional_limit = [&, &value = value](double least) -> std::optional<double> {
      if (value.is_null()) return std::nullopt;
      return number(value, place, least);
    };
    if (field == "time")
      limits.time = optional_limit(0);
    else if (field == "memory")
      limits.memory = optional_limit(0);
    else if (field == "rel_err")
      limits.rel_err = optional_limit(1);
    else if (field == "prepare")
      limits.prepare = optional_limit(0);
    else if (field == "prepare_at_least_ms")
      limits.prepare_at_least_ms = number(value, place, 0);
    else if (field == "speedup")
      limits.speedup = optional_limit(0);
    else if (field != "name" || where == "default")
      refuse(place, "is unknown");
  }
}

}  // namespace

Thresholds Thresholds::parse(const json& document) {
  if (!document.is_object()) throw std::invalid_argument("has to be an object with default and rows");
  Thresholds thresholds;
  for (const auto& [field, value] : document.items()) {
    if (field == "default") {
      apply(value, "default", thresholds.default_);
    } else if (field == "rows") {
      if (!value.is_array()) refuse("rows", "has to be a list");
      for (std::size_t i = 0; i < value.size(); ++i) {
        const std::string where = fmt::format("rows[{}]", i);
        Limits checked;
        apply(value[i], where, checked);
        if (!value[i].contains("name") || !value[i]["name"].is_string()) refuse(where, "has no name");
        try {
          thresholds.rules_.push_back({std::regex(value[i]["name"].get<std::string>()), value[i]});
        } catch (const std::regex_error&) {
          refuse(where + ".name", "is no regular expression");
        }
      }
    } else {
      refuse(visible(field), "is unknown");
    }
  }
  return thresholds;
}

Limits Thresholds::of(std::string_view row_name) const {
  Limits limits = default_;
  for (const Rule& rule : rules_) {
    if (std::regex_search(row_name.begin(), row_name.end(), rule.name)) apply(rule.limits, "rows", limits);
  }
  return limits;
}

}  // namespace lcnn::reports
