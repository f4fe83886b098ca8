// Validates reports against reports/schema.json, for tests; where valijson was not found, it cannot.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace lcnn::bench {

// One line a violation, none when the report is valid; nothing when that cannot be said.
std::optional<std::vector<std::string>> schema_violations(const nlohmann::json& report);

inline constexpr const char* kWhyNoSchema = "valijson (Debian: libvalijson-dev) was not found when CMake ran";

}  // namespace lcnn::bench
