// Where the rows of a report lie in its file: a report of 100,000 rows has hundreds of megabytes, too many to
// hold as values.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace lcnn::reports {

// The text of one JSON value: so many bytes from there on.
struct Span {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// An element of rows or of benchmarks.
struct ReportItem {
  std::string name;            // empty where it has none that is a text
  std::optional<Span> object;  // nothing where it is something else
};

// A list at the top of a report, as far as it is one.
struct ReportList {
  bool present = false, is_list = false;
  std::vector<ReportItem> items;
};

struct ReportItems {
  nlohmann::ordered_json others;  // all else at the top: fields of context as they are
  ReportList benchmarks, rows;
};

// One pass over the file. Throws UnusableInput, one line, where it cannot be read, is not JSON or no object.
ReportItems find_items(const std::string& path);

// Reads spans of one file, from any thread.
class SpanReader {
 public:
  // Throws UnusableInput.
  explicit SpanReader(const std::string& path);
  ~SpanReader();
  SpanReader(const SpanReader&) = delete;
  SpanReader& operator=(const SpanReader&) = delete;

  std::string text(const Span& span) const;

 private:
  std::string path_;
  int file_ = -1;
};

}  // namespace lcnn::reports
