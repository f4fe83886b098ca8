// What the tests of reports/ share: folders that vanish, one-line refusals, samples and reports as if
// measured.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "reports/read_report.h"
#include "reports/temporary_folder.h"
#include "reports/test_refusal.h"

namespace lcnn::reports {

inline const std::string kFixture = LCNN_REPORTS_FOLDER "/fixtures/version1.json";

template <typename Exception = UnusableInput, typename Action>
std::string refusal(const Action& action) {
  return refusal_by<Exception>(action);
}

struct Outcome {
  int code = -1;
  std::string output;  // standard output and error
};

// Runs the real program; arguments that need it are quoted for the shell by the caller.
inline Outcome lcnn_report(const std::string& arguments) {
  std::FILE* pipe = popen((LCNN_REPORT_PATH " " + arguments + " 2>&1").c_str(), "r");
  Outcome outcome;
  char buffer[4096];
  for (std::size_t read; (read = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    outcome.output.append(buffer, read);
  outcome.code = WEXITSTATUS(pclose(pipe));
  return outcome;
}

// How samples of one process scatter. A process has an offset of its own that its samples do not show.
struct Noise {
  double spread = 0.003;     // standard deviation
  double correlation = 0.5;  // of neighbours
  double drift = 0.01;       // from the first sample to the last, up or down
  double outliers = 0.05;    // share of samples that something else held up
  double between = 0.005;    // standard deviation of the process's offset
};

// The committed H100 report's, and a 2-core machine's that others use too.
inline constexpr Noise kQuietNoise{};
inline constexpr Noise kLoudNoise{
    .spread = 0.03, .correlation = 0.3, .drift = 0.02, .outliers = 0.1, .between = 0.01};

inline std::vector<double> noisy_samples(std::uint64_t seed, std::size_t count, double microseconds,
                                         const Noise& noise) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  const double offset = noise.between * normal(random), drift = noise.drift * (2 * uniform(random) - 1);
  std::vector<double> samples;
  double state = normal(random);
  for (std::size_t i = 0; i < count; ++i) {
    state = noise.correlation * state + std::sqrt(1 - noise.correlation * noise.correlation) * normal(random);
    double factor = 1 + offset + noise.spread * state +
                    drift * (static_cast<double>(i) / static_cast<double>(count) - 0.5);
    if (uniform(random) < noise.outliers) factor *= 1 + uniform(random);
    samples.push_back(microseconds * factor);
  }
  return samples;
}

inline Row measured(const std::string& name, std::vector<double> samples) {
  return {.name = name,
          .disposition = "measured",
          .precision = "fp32",
          .samples_us = std::move(samples),
          .peak_bytes = 1e6,
          .rel_err = 1e-7,
          .prepare_ms = 20,
          .speedup = 2};
}

// The committed fixture, to be altered. Row 0 and 1 are Conv2d's, 3 is unsupported.
inline nlohmann::ordered_json fixture() { return read_json(kFixture); }

// Makes all times of a row `factor` times as long.
inline void slow_down(nlohmann::ordered_json& row, double factor) {
  for (auto& sample : row["timing"]["samples_us"]) sample = sample.get<double>() * factor;
  row["timing"]["median_us"] = row["timing"]["median_us"].get<double>() * factor;
}

}  // namespace lcnn::reports
