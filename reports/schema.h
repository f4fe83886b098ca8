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

// The same of a file, whatever its size: rows and benchmarks are read one by one, on all cores. Throws
// UnusableInput where it is no JSON.
std::optional<std::vector<std::string>> schema_violations_of_file(const std::string& path);

}  // namespace lcnn::reports
