// Reports that something has damaged: every reader either takes them or refuses them in one line, and none
// crashes.
#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "reports/every_reader.h"
#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using nlohmann::ordered_json;

// LCNN_FUZZ_SECONDS sets for how long reports are damaged, one a seed; the seeds begin at 0.
double seconds() {
  const char* set = std::getenv("LCNN_FUZZ_SECONDS");
  return set == nullptr ? 5 : std::atof(set);
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t count) { return count == 0 ? 0 : random_() % count; }

  // Bytes that are changed, left out, repeated, or all that follow cut off.
  std::string damaged(std::string text) {
    for (std::size_t edits = 1 + below(4); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = below(text.size()), length = std::min(text.size() - at, 1 + below(50));
      switch (below(6)) {
        case 0:
          text[at] = static_cast<char>(below(256));
          break;
        case 1:
          text[at] = "{}[]\",:0-e.\\ntf"[below(15)];
          break;
        case 2:
          text.erase(at, length);
          break;
        case 3:
          text.insert(below(text.size()), text.substr(at, length));
          break;
        case 4:
          text.insert(at, kTokens[below(std::size(kTokens))]);
          break;
        case 5:
          if (below(4) == 0) text.resize(at);
          break;
      }
    }
    return text;
  }

  // JSON still, with values in wrong places and of wrong types.
  ordered_json rearranged(ordered_json document) {
    const ordered_json row = document.value("rows", document["benchmarks"])[0];
    for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
      ordered_json* value = &document;
      for (std::size_t depth = 1 + below(5); depth > 0 && value->is_structured() && !value->empty();
           --depth) {
        auto child = value->begin();
        std::advance(child, below(value->size()));
        value = &*child;
      }
      switch (below(4)) {
        case 0:
          *value = ordered_json::parse(kValues[below(std::size(kValues))]);
          break;
        case 1:
          *value = row;
          break;
        case 2:
          if (value->is_structured() && !value->empty()) value->erase(value->begin());
          break;
        case 3:
          if (value->is_array() && !value->empty()) value->push_back(ordered_json(value->front()));
          break;
      }
      if (!document.is_object()) break;
    }
    return document;
  }

 private:
  static constexpr const char* kTokens[] = {
      "null", "NaN", "1e999", "-0", "\"rows\":[", "\"\\ud800\"", "[[[[[", "{\"a\":", "\"benchmarks\":"};
  static constexpr const char* kValues[] = {"null",
                                            "true",
                                            "-1",
                                            "0",
                                            "1e300",
                                            "5e-324",
                                            "18446744073709551615",
                                            "\"\"",
                                            "\"\\u0000\\u001b[31m<b>|\"",
                                            "[]",
                                            "{}",
                                            "[[[]]]",
                                            "[null, \"x\", {}]",
                                            "{\"name\": 3}"};
  std::mt19937_64 random_;
};

// The fixture shortened: damage then more often hits something that is read.
ordered_json small_report() {
  ordered_json report = fixture();
  for (auto& row : report["rows"]) {
    if (row["timing"].is_object()) {
      auto& samples = row["timing"]["samples_us"];
      samples.erase(samples.begin() + 9, samples.end());
    }
  }
  ordered_json benchmarks = ordered_json::array();
  for (std::size_t i = 0; i < report["benchmarks"].size(); i += 9)
    benchmarks.push_back(report["benchmarks"][i]);
  report["benchmarks"] = benchmarks;
  return report;
}

ordered_json small_google_report() {
  ordered_json report = small_report();
  report.erase("rows");
  report["context"].erase("lcnn_schema_version");
  return report;
}

TEST(MutatedReportsTest, AreTakenOrRefusedInOneLine) {
  const TemporaryFolder folder;
  const ordered_json bases[] = {small_report(), small_google_report()};
  const Report base = read_report(folder.file("base.json", bases[0]));
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds());
  std::size_t taken = 0;
  std::uint64_t seed = 0;
  for (; std::chrono::steady_clock::now() < end && !HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Mutator mutator(seed);
    const ordered_json& original = bases[mutator.below(4) == 0];
    const std::string text =
        mutator.below(2) == 0
            ? mutator.damaged(original.dump())
            : mutator.rearranged(original).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    const std::string path = folder.file("now.json", text);
    EXPECT_NO_THROW(taken += give_to_every_reader(base, path, text));
  }
  // Neither all refused nor all taken: the damage reaches what lies behind the first check.
  EXPECT_GT(taken, seed / 20);
  EXPECT_LT(taken, seed - seed / 20);
  RecordProperty("reports", static_cast<int>(seed));
}

// What scripts/fuzz once found.
TEST(MutatedReportsTest, FindingsOfTheFuzzerAreMended) {
  const Report base = read_report(kFixture);
  std::size_t findings = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LCNN_REPORTS_FOLDER "/fixtures/fuzz")) {
    SCOPED_TRACE(entry.path());
    EXPECT_NO_THROW(give_to_every_reader(base, entry.path(), read_text(entry.path())));
    ++findings;
  }
  EXPECT_GT(findings, 0);
}

}  // namespace
}  // namespace lcnn::reports
