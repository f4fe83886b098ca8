// lcnn_report: validates, compares, merges and renders reports, and finds where their history changed. Exit
// codes: 0 same or better, 1 a regression or an invalid report, 2 input that cannot be used.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "reports/compare.h"
#include "reports/context_differences.h"
#include "reports/escape.h"
#include "reports/history.h"
#include "reports/merge.h"
#include "reports/read_report.h"
#include "reports/read_side.h"
#include "reports/replace_file.h"
#include "reports/run_render.h"
#include "reports/schema.h"
#include "reports/thresholds.h"
#include "reports/write_comparison.h"

namespace lcnn::reports {
namespace {

constexpr int kFine = 0, kRegression = 1, kUnusable = 2;

// What compare and history share.
struct OutputOptions {
  std::string thresholds, output, format = "console";
};

struct CompareOptions : OutputOptions {
  std::string base, now;
  std::vector<std::string> allowed;
};

struct HistoryOptions : OutputOptions {
  std::string folder;
};

Thresholds read_thresholds(const std::string& path) {
  if (path.empty()) return {};
  try {
    return Thresholds::parse(nlohmann::json(read_json(path)));
  } catch (const std::invalid_argument& error) {
    throw UnusableInput(fmt::format("{}: {}", path, error.what()));
  }
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw UnusableInput("the standard output cannot be written");
}

void write(const std::string& output, const std::string& text) {
  if (output.empty()) {
    print(text);
  } else {
    replace_file(output, [&](std::ostream& out) { out << text; });
  }
}

void add_output_options(CLI::App& command, OutputOptions& options, const std::vector<std::string>& formats) {
  command.add_option("--thresholds", options.thresholds, "JSON: how much each metric may get worse");
  command.add_option("--format", options.format, fmt::format("{}", fmt::join(formats, ", ")))
      ->check(CLI::IsMember(formats));
  command.add_option("--output", options.output, "file to write, in place of the standard output");
}

int run_compare(const CompareOptions& options) {
  const Thresholds thresholds = read_thresholds(options.thresholds);
  std::future<Report> base = std::async(std::launch::async, read_side, options.base);
  const Report now = read_side(options.now);
  const Comparison comparison = compare(
      base.get(), now, thresholds, std::set<std::string>(options.allowed.begin(), options.allowed.end()));
  const std::map<std::string, std::string (*)(const Comparison&)> writers{
      {"console", console}, {"markdown", markdown}, {"json", json}, {"junit", junit}};
  write(options.output, writers.at(options.format)(comparison));
  return comparison.regressed() ? kRegression : kFine;
}

int run_history(const HistoryOptions& options) {
  const History history = read_history(options.folder, read_thresholds(options.thresholds));
  const std::map<std::string, std::string (*)(const History&)> writers{
      {"console", console}, {"markdown", markdown}, {"json", json}};
  write(options.output, writers.at(options.format)(history));
  return history.regressed() ? kRegression : kFine;
}

int run_validate(const std::vector<std::string>& paths) {
  bool valid = true;
  for (const std::string& path : paths) {
    const auto violations = schema_violations_of_file(path);
    if (!violations) throw UnusableInput(kWhyNoSchema);
    print(violations->empty()
              ? fmt::format("{}: valid\n", path)
              : fmt::format("{}: {}\n", path, fmt::join(*violations, fmt::format("\n{}: ", path))));
    valid = valid && violations->empty();
  }
  return valid ? kFine : kRegression;
}

int run_merge(const std::string& output, const std::vector<std::string>& paths) {
  const Merged merged = merge(paths);
  for (const std::string& note : merged.notes) fmt::print(stderr, "{}\n", note);
  replace_file(output, [&](std::ostream& out) { write_report(merged, out); });
  return kFine;
}

int run(int argc, char** argv) {
  CLI::App app("Reads the JSON reports of lcnn_bench, and Google Benchmark's.", "lcnn_report");
  app.footer(
      "Exit codes: 0 same or better, or valid; 1 a regression, or not valid; 2 the input cannot be used.");
  app.require_subcommand(1);

  CompareOptions options;
  CLI::App* comparing = app.add_subcommand("compare", "compares NEW with BASE, row by row");
  comparing->add_option("BASE", options.base, "the report of before; or several processes': a folder, or FILE,FILE,...")->required();
  comparing->add_option("NEW", options.now, "the report of now; or several, as many processes as may be")->required();
  add_output_options(*comparing, options, {"console", "markdown", "json", "junit"});
  comparing
      ->add_option("--allow-different", options.allowed, "conditions that may differ, separated by commas")
      ->delimiter(',')
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kContextKinds), std::end(kContextKinds))));

  HistoryOptions history_options;
  CLI::App* telling =
      app.add_subcommand("history", "finds where the reports of one machine changed for good");
  telling->add_option("FOLDER", history_options.folder, "the reports, *.json")->required();
  add_output_options(*telling, history_options, {"console", "markdown", "json"});

  std::vector<std::string> files;
  CLI::App* validating = app.add_subcommand("validate", "checks reports against reports/schema.json");
  validating->add_option("FILE", files, "reports")->required();

  std::string merged;
  CLI::App* merging = app.add_subcommand("merge", "makes one report of several of one machine and commit");
  merging->add_option("OUT", merged, "the report to write")->required();
  merging->add_option("FILE", files, "reports; of rows of one name the later file's stays")->required();

  CLI::App* rendering =
      app.add_subcommand("render", "writes tables or a page of reports; render --help says more")
          ->prefix_command();
  rendering->set_help_flag();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kFine : kUnusable;
  }
  if (comparing->parsed()) return run_compare(options);
  if (telling->parsed()) return run_history(history_options);
  if (rendering->parsed()) run_render(rendering->remaining());
  if (validating->parsed()) return run_validate(files);
  return run_merge(merged, files);
}

}  // namespace
}  // namespace lcnn::reports

int main(int argc, char** argv) {
  try {
    return lcnn::reports::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lcnn_report: %s\n", lcnn::reports::visible(error.what()).c_str());
    return lcnn::reports::kUnusable;
  }
}
