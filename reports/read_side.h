// One side of a comparison: a report, or the reports of several processes that ran the same.
#pragma once

#include <string>
#include <vector>

#include "reports/report.h"

namespace lcnn::reports {

// The files of `side`: a file, files separated by commas, or a folder, whose *.json they are, by name. Throws
// UnusableInput where the folder has none.
std::vector<std::string> files_of_side(const std::string& side);

// Reads them; several become one report, of whose rows samples_us holds what fast_of says of each process,
// and of all other numbers the median of the processes. A row that one of them did not measure has that one's
// disposition. Throws UnusableInput as read_report does, and where two are of different conditions or commits
// or have not the same rows.
Report read_side(const std::string& side);

}  // namespace lcnn::reports
