// What a damaged report must not do to any of its readers: shared by the test that damages reports at random
// and by the fuzzer, which looks for damage that reaches new code.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "reports/compare.h"
#include "reports/context_differences.h"
#include "reports/history.h"
#include "reports/merge.h"
#include "reports/read_report.h"
#include "reports/schema.h"
#include "reports/write_comparison.h"

namespace lcnn::reports {

// The one thing that a reader may throw is a refusal in one line.
template <typename Action>
void take_or_refuse(const Action& action) {
  try {
    action();
  } catch (const UnusableInput& error) {
    const std::string message = error.what();
    if (message.empty() || message.find('\n') != std::string::npos)
      throw std::logic_error("a refusal is not one line: " + message);
  }
}

inline void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

// Gives `text`, which is the file at `path`, to every reader. Returns whether read_report took it; throws
// std::logic_error where a reader or a writer does not do what it says.
inline bool give_to_every_reader(const Report& base, const std::string& path, const std::string& text) {
  static const std::set<std::string> kAll(std::begin(kContextKinds), std::end(kContextKinds));
  bool taken = false;
  take_or_refuse([&] {
    const Report now = read_report(path);
    taken = true;
    take_or_refuse([&] {
      const Comparison comparison = compare(base, now, {}, kAll);
      for (const auto write : {console, markdown, junit})
        require(!write(comparison).empty(), "nothing was written");
      require(nlohmann::json::accept(json(comparison)), "compare wrote no JSON");
    });
    take_or_refuse([&] {
      require(nlohmann::json::accept(json(history_of(std::vector<Report>(6, now), {}))),
              "history wrote no JSON");
    });
  });
  take_or_refuse([&] {
    const auto violations = schema_violations_of_file(path);
    // Read in parts, of which most get a quick look only, it is judged as the whole is.
    if (violations && violations->empty())
      require(schema_violations(nlohmann::json::parse(text))->empty(), "what is not valid was called valid");
  });
  take_or_refuse([&] {
    std::ostringstream out;
    write_report(merge({path, path}), out);
    require(nlohmann::json::accept(out.str()), "merge wrote no JSON");
  });
  return taken;
}

}  // namespace lcnn::reports
