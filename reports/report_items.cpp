#include "reports/report_items.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "reports/json_file.h"
#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

using json = nlohmann::ordered_json;

// nlohmann's SAX interface. Tokens that open or close something are read without looking ahead: the file's
// offset is then the token's end.
class ItemFinder {
 public:
  ItemFinder(const std::string& path, JsonFile& file, ReportItems& items)
      : path_(path), file_(file), items_(items) {}

  bool null() { return value(nullptr); }
  bool boolean(bool is) { return value(is); }
  bool number_integer(std::int64_t number) { return value(number); }
  bool number_unsigned(std::uint64_t number) { return value(number); }
  bool number_float(double number, const std::string&) { return value(number); }
  bool string(std::string& text) {
    if (in_items(3) && key_ == "name" && list_->items.back().object) list_->items.back().name = text;
    return value(text);
  }
  bool binary(std::vector<std::uint8_t>&) { return true; }

  bool start_object(std::size_t) {
    enter(true);
    if (in_items(3)) list_->items.push_back({.object = Span{.offset = file_.offset() - 1}});
    return true;
  }
  bool end_object() {
    if (in_items(3)) {
      Span& span = *list_->items.back().object;
      span.length = file_.offset() - span.offset;
    }
    return leave();
  }
  bool start_array(std::size_t) {
    enter(false);
    if (in_items(3)) list_->items.emplace_back();
    if (depth_ == 2 && list_ != nullptr) list_->is_list = true;
    return true;
  }
  bool end_array() { return leave(); }

  bool key(std::string& name) {
    key_ = name;
    if (depth_ == 1) {
      list_ = name == "rows" ? &items_.rows : name == "benchmarks" ? &items_.benchmarks : nullptr;
      if (list_ != nullptr) list_->present = true;
    }
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) {
    throw UnusableInput(file_.not_json(error.what()));
  }

 private:
  bool in_items(int depth) const { return depth_ == depth && list_ != nullptr && list_->is_list; }

  void enter(bool object) {
    if (++depth_ > kMostDepth)
      throw UnusableInput(fmt::format("{}: is nested more than {} deep", path_, kMostDepth));
    if (depth_ == 1 && !object) throw UnusableInput(fmt::format("{}: is no report: it is a list", path_));
    if (list_ == nullptr) add(object ? json::object() : json::array());
  }

  bool leave() {
    if (list_ == nullptr) open_.pop_back();
    if (--depth_ == 1) list_ = nullptr;
    return true;
  }

  bool value(json of) {
    if (depth_ == 0) throw UnusableInput(fmt::format("{}: is no report: it is a single value", path_));
    if (list_ == nullptr) {
      add(std::move(of));
      open_.pop_back();
    } else if (in_items(2)) {
      list_->items.emplace_back();
    }
    if (depth_ == 1) list_ = nullptr;
    return true;
  }

  // Puts a value where the parser is, and opens it. Values do not move while something in them is open.
  void add(json of) {
    if (open_.empty()) {
      items_.others = std::move(of);
      open_.push_back(&items_.others);
    } else if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(of));
      open_.push_back(&open_.back()->back());
    } else {
      json& place = (*open_.back())[key_];
      place = std::move(of);
      open_.push_back(&place);
    }
  }

  const std::string& path_;
  JsonFile& file_;
  ReportItems& items_;
  ReportList* list_ = nullptr;  // that the parser is in
  std::vector<json*> open_;     // of others
  std::string key_;
  int depth_ = 0;
};

}  // namespace

ReportItems find_items(const std::string& path) {
  ReportItems items;
  JsonFile file(path);
  ItemFinder finder(path, file, items);
  nlohmann::json::sax_parse(file.begin(), file.end(), &finder);
  return items;
}

SpanReader::SpanReader(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) throw UnusableInput(fmt::format("{}: {}", path, std::strerror(errno)));
}

SpanReader::~SpanReader() { close(file_); }

std::string SpanReader::text(const Span& span) const {
  std::string text(span.length, '\0');
  for (std::size_t read = 0; read < text.size();) {
    const ssize_t more =
        pread(file_, text.data() + read, text.size() - read, static_cast<off_t>(span.offset + read));
    if (more <= 0) throw UnusableInput(fmt::format("{}: changed while it was read", path_));
    read += static_cast<std::size_t>(more);
  }
  return text;
}

}  // namespace lcnn::reports
