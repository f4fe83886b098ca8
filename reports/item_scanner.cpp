#include "reports/item_scanner.h"

#include <fmt/format.h>

#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

class ItemScanner {
 public:
  ItemScanner(const std::string& path, ScannedText& into) : path_(path), into_(into) {}

  // `offset` is the chunk's in the file.
  void scan(std::string_view chunk, std::uint64_t offset) {
    kept_ = chunk.data();
    for (const char *p = chunk.data(), *end = p + chunk.size(); p != end; ++p) {
      if (in_string_) {
        p = pass_string(p, end);
        if (p == end) break;
      } else if (*p == '"') {
        in_string_ = true;
      } else if (*p == '{' || *p == '[') {
        open(p, offset + static_cast<std::uint64_t>(p - chunk.data()));
      } else if (*p == '}' || *p == ']') {
        close(p, offset + static_cast<std::uint64_t>(p - chunk.data()));
      }
    }
    if (!in_object_) into_.rest.append(kept_, chunk.data() + chunk.size());
  }

 private:
  // To the string's closing quote, or to `end`.
  const char* pass_string(const char* p, const char* end) {
    for (; p != end; ++p) {
      if (escaped_) {
        escaped_ = false;
      } else if (*p == '\\') {
        escaped_ = true;
      } else if (*p == '"') {
        in_string_ = false;
        break;
      }
    }
    return p;
  }

  void open(const char* p, std::uint64_t offset) {
    if (++depth_ > kMostDepth)
      throw UnusableInput(fmt::format("{}: is nested more than {} deep", path_, kMostDepth));
    if (depth_ == 2) in_array_ = *p == '[';
    if (depth_ != 3 || !in_array_ || *p != '{') return;
    into_.rest.append(kept_, p).append("{}");
    into_.objects.push_back({.offset = offset});
    in_object_ = true;
  }

  void close(const char* p, std::uint64_t offset) {
    --depth_;
    if (depth_ != 2 || !in_object_) return;
    into_.objects.back().length = offset + 1 - into_.objects.back().offset;
    in_object_ = false;
    kept_ = p + 1;
  }

  const std::string& path_;
  ScannedText& into_;
  const char* kept_ = nullptr;  // from here on the chunk belongs to rest, unless in an object
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false, in_array_ = false, in_object_ = false;
};

}  // namespace

ScannedText scan_items(const std::string& path) {
  ScannedText scanned;
  JsonFile file(path);
  ItemScanner scanner(path, scanned);
  for (std::string_view chunk = file.chunk(); !chunk.empty(); chunk = file.next_chunk())
    scanner.scan(chunk, file.offset());
  return scanned;
}

}  // namespace lcnn::reports
