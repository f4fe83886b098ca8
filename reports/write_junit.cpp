#include <fmt/format.h>

#include "reports/escape.h"
#include "reports/write_comparison.h"

namespace lcnn::reports {
namespace {

std::string test_case(const ComparedRow& row) {
  const std::string name = visible(row.name);
  const std::string head = fmt::format("    <testcase classname=\"lcnn_report.{}\" name=\"{}\"",
                                       xml(name.substr(0, name.find('/'))), xml(name));
  const std::string said = xml(describe(row));
  switch (row.overall()) {
    case Verdict::worse:
      return fmt::format("{}>\n      <failure message=\"{}\"/>\n    </testcase>\n", head, said);
    case Verdict::unknown:
      return fmt::format("{}>\n      <skipped message=\"{}\"/>\n    </testcase>\n", head, said);
    default:
      return said.empty()
                 ? fmt::format("{}/>\n", head)
                 : fmt::format("{}>\n      <system-out>{}</system-out>\n    </testcase>\n", head, said);
  }
}

}  // namespace

std::string junit(const Comparison& comparison) {
  const std::string counts =
      fmt::format("tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\"", comparison.rows.size(),
                  comparison.count(Verdict::worse), comparison.count(Verdict::unknown));
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {}>\n  <testsuite name=\"lcnn_report "
      "compare\" {}>\n"
      "    <properties>\n",
      counts, counts);
  const auto property = [&](std::string_view name, std::string_view value) {
    out += fmt::format("      <property name=\"{}\" value=\"{}\"/>\n", name, xml(value));
  };
  property("base", comparison.base_path);
  property("base_commit", comparison.base_commit);
  property("new", comparison.now_path);
  property("new_commit", comparison.now_commit);
  property("device", comparison.device);
  for (const std::string& difference : comparison.differences) property("different", difference);
  for (const std::string& name : comparison.added) property("added", name);
  for (const std::string& name : comparison.removed) property("removed", name);
  out += "    </properties>\n";
  for (const ComparedRow& row : comparison.rows) out += test_case(row);
  return out + "  </testsuite>\n</testsuites>\n";
}

}  // namespace lcnn::reports
