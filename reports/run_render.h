// `lcnn_report render`: reports as tables and as a page, which Python programs of reports/render write.
#pragma once

#include <string>
#include <vector>

namespace lcnn::reports {

// Becomes that program, with these arguments. Returns only by throwing UnusableInput: where it is not found,
// or no python3.
[[noreturn]] void run_render(const std::vector<std::string>& arguments);

}  // namespace lcnn::reports
