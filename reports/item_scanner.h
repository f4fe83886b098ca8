// Where the objects in a report's lists lie, found by brackets and quotes alone: several times as fast as
// reading JSON.
#pragma once

#include <string>
#include <vector>

#include "reports/json_file.h"
#include "reports/report_items.h"

namespace lcnn::reports {

// A JSON text whose top-level value's arrays hold many objects, taken apart.
struct ScannedText {
  std::string rest;           // the text with {} in place of each such object
  std::vector<Span> objects;  // where they lie, in the order of the text
};

// The text is JSON if and only if rest and each of the objects are. Throws UnusableInput where it cannot be
// read, or is nested more than kMostDepth deep.
ScannedText scan_items(const std::string& path);

}  // namespace lcnn::reports
