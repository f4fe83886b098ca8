#include "reports/escape.h"

#include <gmock/gmock.h>

namespace lcnn::reports {
namespace {

TEST(EscapeTest, NothingMovesTheCursor) {
  EXPECT_EQ(visible("a\x1b[2Jb\nc\x7f"), "a\\x1b[2Jb\\x0ac\\x7f");
  EXPECT_EQ(visible("a\xc2\x9b"
                    "b"),
            "a\\x9bb");
  EXPECT_EQ(visible("\xc3\xa4 64@56"), "\xc3\xa4 64@56");
}

TEST(EscapeTest, NothingIsMarkdownOrHtml) {
  const std::string cell = markdown_code("a|b`c`<img src=x onerror=y>\n[l](http://e) @user #1 *b* &amp;");
  EXPECT_TRUE(cell.starts_with("<code>") && cell.ends_with("</code>"));
  const std::string inner = cell.substr(6, cell.size() - 13);
  for (const char c : std::string("|`<>\n[]()@*")) EXPECT_EQ(inner.find(c), std::string::npos) << c;
  EXPECT_THAT(inner, testing::HasSubstr("&#38;amp;"));
}

TEST(EscapeTest, XmlTakesIt) {
  EXPECT_EQ(xml("<a b=\"'&\x01>"), "&#60;a b=&#34;&#39;&#38;\\x01&#62;");
  EXPECT_EQ(xml("\xef\xbf\xbf!"), "?!");
}

}  // namespace
}  // namespace lcnn::reports
