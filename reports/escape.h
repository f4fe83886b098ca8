// Names come from files that anybody may have written: made harmless for a terminal, Markdown and XML.
#pragma once

#include <string>
#include <string_view>

namespace lcnn::reports {

// Control characters, newlines among them, as \x1b: nothing moves a terminal's cursor or ends a line.
std::string visible(std::string_view text);

// Fit for a cell of a Markdown table, as code: whatever Markdown, HTML or GitHub (@user, #1) would read is
// spelled out.
std::string markdown_code(std::string_view text);

// The same as plain text.
std::string markdown_text(std::string_view text);

// Fit for XML 1.0, in an attribute or as text.
std::string xml(std::string_view text);

}  // namespace lcnn::reports
