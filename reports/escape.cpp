#include "reports/escape.h"

#include <fmt/format.h>

namespace lcnn::reports {

std::string visible(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F are control characters too
      out += fmt::format("\\x{:02x}", next);
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string markdown_text(std::string_view text) {
  std::string out;
  for (const char c : visible(text)) {
    if (std::string_view("&<>\"'|`*_[]()\\~#@!$:{}").find(c) != std::string_view::npos)
      out += fmt::format("&#{};", static_cast<int>(c));
    else
      out += c;
  }
  return out;
}

// <code> keeps GitHub from making a mention of 64@56; backticks would not keep a | from ending the cell.
std::string markdown_code(std::string_view text) {
  return fmt::format("<code>{}</code>", markdown_text(text));
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : visible(text)) {
    if (std::string_view("&<>\"'").find(c) != std::string_view::npos)
      out += fmt::format("&#{};", static_cast<int>(c));
    else
      out += c;
    // U+FFFE and U+FFFF: UTF-8 has them, XML has not.
    if (out.ends_with("\xef\xbf\xbe") || out.ends_with("\xef\xbf\xbf")) {
      out.resize(out.size() - 3);
      out += '?';
    }
  }
  return out;
}

}  // namespace lcnn::reports
