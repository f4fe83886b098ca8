// Reports of one machine and commit made into one: runs of parts of a workload, or of a part measured again.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reports/report_items.h"

namespace lcnn::reports {

// What the merged report is made of; the rows' text stays in the files.
struct Merged {
  struct Entry {
    std::size_t file = 0;  // index into paths
    Span row;
    std::vector<Span> benchmarks;
  };
  std::vector<std::string> paths;
  nlohmann::ordered_json context;  // the last file's
  std::vector<Entry> entries;
  std::vector<std::string> notes;  // one line a row that two files have
};

// The rows of all files in their order; of rows of one name the later file's stays, in the earlier one's
// place. Throws UnusableInput, one line, when a file is no report of lcnn_bench, or they differ in device,
// driver, timing mode, seed, threads or commit.
Merged merge(const std::vector<std::string>& paths);

// Writes it as lcnn_bench does, a line a row: valid by the schema if what it was made from is.
void write_report(const Merged& merged, std::ostream& out);

}  // namespace lcnn::reports
