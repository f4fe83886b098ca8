#include "reports/report_items.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "reports/item_scanner.h"
#include "reports/json_file.h"
#include "reports/read_report.h"

namespace lcnn::reports {
namespace {

using json = nlohmann::ordered_json;

// nlohmann's SAX interface, over what scan_items leaves of a file.
class ItemFinder {
 public:
  ItemFinder(const std::string& path, const std::vector<Span>& objects, ReportItems& items)
      : path_(path), objects_(objects), items_(items) {}

  bool null() { return value(nullptr); }
  bool boolean(bool is) { return value(is); }
  bool number_integer(std::int64_t number) { return value(number); }
  bool number_unsigned(std::uint64_t number) { return value(number); }
  bool number_float(double number, const std::string&) { return value(number); }
  bool string(std::string& text) { return value(text); }
  bool binary(std::vector<std::uint8_t>&) { return true; }

  bool start_object(std::size_t) {
    const bool taken_out = depth_ == 2 && in_array_;
    enter(true);
    if (in_items(3)) list_->items.emplace_back(taken_out ? std::optional(objects_[next_]) : std::nullopt);
    if (taken_out && list_ == nullptr) *open_.back() = json::parse(SpanReader(path_).text(objects_[next_]));
    if (taken_out) ++next_;
    return true;
  }
  bool end_object() { return leave(); }
  bool start_array(std::size_t) {
    enter(false);
    if (in_items(3)) list_->items.emplace_back();
    if (depth_ == 2) in_array_ = true;
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
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) { refuse_no_json(path_); }

 private:
  bool in_items(int depth) const { return depth_ == depth && list_ != nullptr && list_->is_list; }

  void enter(bool object) {
    ++depth_;
    if (depth_ == 1 && !object) throw UnusableInput(fmt::format("{}: is no report: it is a list", path_));
    if (depth_ == 2) in_array_ = false;
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
  const std::vector<Span>& objects_;
  std::size_t next_ = 0;  // of objects
  ReportItems& items_;
  ReportList* list_ = nullptr;  // that the parser is in
  bool in_array_ = false;       // at depth 2
  std::vector<json*> open_;     // of others
  std::string key_;
  int depth_ = 0;
};

}  // namespace

ReportItems find_items(const std::string& path) {
  ReportItems items;
  const ScannedText scanned = scan_items(path);
  ItemFinder finder(path, scanned.objects, items);
  try {
    nlohmann::json::sax_parse(scanned.rest, &finder);
  } catch (const nlohmann::json::exception&) {
    refuse_no_json(path);
  }
  return items;
}

void refuse_no_json(const std::string& path) {
  JsonFile file(path);
  try {
    const auto keep_nothing = [](int, nlohmann::json::parse_event_t, const nlohmann::json&) { return false; };
    [[maybe_unused]] const auto nothing = nlohmann::json::parse(file.begin(), file.end(), keep_nothing);
  } catch (const nlohmann::json::exception& error) {
    throw UnusableInput(file.not_json(error.what()));
  }
  throw UnusableInput(fmt::format("{}: changed while it was read", path));
}

SpanReader::SpanReader(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) throw UnusableInput(fmt::format("{}: {}", path, std::strerror(errno)));
}

SpanReader::~SpanReader() { close(file_); }

std::string SpanReader::text(const Span& span) const {
  std::string text = text_up_to_end(span);
  if (text.size() < span.length) throw UnusableInput(fmt::format("{}: changed while it was read", path_));
  return text;
}

std::string SpanReader::text_up_to_end(const Span& span) const {
  std::string text(span.length, '\0');
  std::size_t read = 0;
  for (ssize_t more = 1; more > 0 && read < text.size(); read += static_cast<std::size_t>(more)) {
    more = pread(file_, text.data() + read, text.size() - read, static_cast<off_t>(span.offset + read));
    if (more < 0) throw UnusableInput(fmt::format("{}: {}", path_, std::strerror(errno)));
  }
  text.resize(read);
  return text;
}

std::string_view SpanSequence::text(const Span& span) {
  constexpr std::uint64_t kReadAtOnce = 1 << 20;
  if (span.offset < offset_ || span.offset + span.length > offset_ + block_.size()) {
    block_ = span.length > kReadAtOnce ? reader_.text(span)
                                       : reader_.text_up_to_end({.offset = span.offset, .length = kReadAtOnce});
    offset_ = span.offset;
    if (block_.size() < span.length) block_ = reader_.text(span);  // says that the file changed
  }
  return std::string_view(block_).substr(span.offset - offset_, span.length);
}

}  // namespace lcnn::reports
