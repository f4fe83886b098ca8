// Reports of one machine and commit made into one: runs of parts of a workload, or of a part measured again.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lcnn::reports {

struct Merged {
  nlohmann::ordered_json
      report;  // valid by the schema if what it was made from is; the context is the last file's
  std::vector<std::string> notes;  // one line a row that two files have
};

// The rows of all files in their order; of rows of one name the later file's stays, in the earlier one's
// place. Throws UnusableInput, one line, when a file is no report of lcnn_bench, or they differ in device,
// driver, timing mode, seed, threads or commit.
Merged merge(const std::vector<std::string>& paths);

// Writes it as lcnn_bench does, a line a row.
void write_report(const nlohmann::ordered_json& report, std::ostream& out);

}  // namespace lcnn::reports
