// Where the rows of a report lie in its file: a report of 100,000 rows has hundreds of megabytes, too many to
// hold as values.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lcnn::reports {

// The text of one JSON value: so many bytes from there on.
struct Span {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// A list at the top of a report, as far as it is one.
struct ReportList {
  bool present = false, is_list = false;
  std::vector<std::optional<Span>> items;  // nothing where an element is no object
};

struct ReportItems {
  nlohmann::ordered_json others;  // all else at the top: fields of context as they are
  ReportList benchmarks, rows;
};

// One pass over the file. Throws UnusableInput, one line, where it cannot be read, is no object, or is not JSON
// outside of those lists' objects: whoever reads these looks, and calls refuse_no_json where one is none.
ReportItems find_items(const std::string& path);

// Throws UnusableInput, which names the line.
[[noreturn]] void refuse_no_json(const std::string& path);

// Reads spans of one file, from any thread.
class SpanReader {
 public:
  // Throws UnusableInput.
  explicit SpanReader(const std::string& path);
  ~SpanReader();
  SpanReader(const SpanReader&) = delete;
  SpanReader& operator=(const SpanReader&) = delete;

  std::string text(const Span& span) const;
  // As much of it as the file has.
  std::string text_up_to_end(const Span& span) const;

 private:
  std::string path_;
  int file_ = -1;
};

// Reads spans of one file from one thread, most of which follow one another.
class SpanSequence {
 public:
  explicit SpanSequence(const SpanReader& reader) : reader_(reader) {}

  // Holds until the next call.
  std::string_view text(const Span& span);

 private:
  const SpanReader& reader_;
  std::string block_;
  std::uint64_t offset_ = 0;  // of the block
};

}  // namespace lcnn::reports
