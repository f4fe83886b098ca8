// Reports against reports/schema.json, which is compiled into the program.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace lcnn::reports {

inline constexpr const char* kWhyNoSchema =
    "this build cannot validate: valijson (Debian: libvalijson-dev) was not found when CMake ran";

// The text of reports/schema.json.
const char* schema_text();

// One line a violation ("<root>[rows][3]: ..."), at most 20 of them; none when the report is valid. Nothing
// where the build cannot say: kWhyNoSchema.
std::optional<std::vector<std::string>> schema_violations(const nlohmann::json& report);

}  // namespace lcnn::reports
