// What the tests of bench/ share: folders that vanish with the test, one-line refusals, rows as if measured.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/row.h"
#include "reports/temporary_folder.h"
#include "reports/test_refusal.h"

namespace lcnn::bench {

inline void write_text(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

template <typename Exception = std::invalid_argument, typename Action>
std::string refusal(const Action& action) {
  return refusal_by<Exception>(action);
}

// A CPU row of the layer "set/layer" with all that a measured row has; its baseline is Conv2d/library's.
inline Row measured_row(VariantKind kind, const std::string& variant, double median_us) {
  Row row{.kind = kind, .variant = variant, .set = "set", .layer = "layer", .dictionary = {"d4s1", 4, 1},
          .disposition = Disposition::measured};
  row.problem.conv = {.batch = 2,
                      .in_channels = 8,
                      .height = 6,
                      .width = 5,
                      .out_channels = 16,
                      .kernel = {3, 3},
                      .padding = {1, 1}};
  row.problem.dictionary_size = 4;
  row.computes = kind == VariantKind::conv2d ? Computes::dense_weights : Computes::lookups;
  const std::string of_layer = "/set/layer/";
  switch (kind) {
    case VariantKind::lookup: row.name = "Lookup/" + variant + of_layer + "d4s1/n2/fp32"; break;
    case VariantKind::conv2d: row.name = "Conv2d/" + variant + of_layer + "n2/fp32"; break;
    case VariantKind::peer: row.name = "Peer/" + variant + of_layer + "d4s1/n2/fp32"; break;
  }
  row.choice = "strip of 8 rows";
  row.prepare_ms = 0.25;
  row.verification =
      Verification{.rel_err = 1e-7, .tolerance = 4e-7, .tolerance_from = "Conv2d/library/set/layer/n2/fp32"};
  row.timing = Timing{.median_us = median_us,
                      .mad_us = median_us / 100,
                      .relative_uncertainty = 0.004,
                      .stable = true,
                      .runs_per_sample = 10};
  for (int i = -9; i <= 9; ++i) row.timing->samples_us.push_back(median_us * (1 + 0.01 * i));
  row.memory = Memory{.weights = 1000, .input = 2000, .output = 3000, .workspace = 400, .prepared = 50};
  row.roofline = Roofline{.limit_us = median_us / 4, .bound = "bytes", .share = 0.25};
  row.operations = {.conv2d_multiplications = 69120, .dictionary_multiplications = 1920, .lookups = 8640};
  row.stored_lookups = 144;
  row.baseline = "Conv2d/library/set/layer/n2/fp32";
  row.speedup = 2.5;
  row.memory_ratio = 1.25;
  row.memory_difference = "workspace: 0.10 MB against 0.20 MB";
  return row;
}

// A step of training, as if measured: of Conv2d or of LookupConv2d.
inline Row measured_training_row(VariantKind kind, double median_us) {
  const bool lookup = kind == VariantKind::lookup;
  Row row = measured_row(kind, lookup ? "fixed" : "conv2d", median_us);
  row.name = lookup ? "Train/fixed/net/fast/n2/fp32" : "Train/conv2d/net/n2/fp32";
  row.set = "training";
  row.layer = "net";
  row.training = TrainingProblem{.batch = 2, .channels = 1, .height = 28, .width = 28, .classes = 10, .parameters = 1000};
  if (lookup) {
    row.training->dictionary_sizes = {1, 8};
    row.training->lookups = 500;
  }
  row.roofline.reset();
  row.choice = "";
  row.baseline = "Train/conv2d/net/n2/fp32";
  row.verification->tolerance_from = lookup ? row.baseline : "precision";
  return row;
}

// The same row, with nothing of what `disposition` has not.
inline Row failed_row(VariantKind kind, const std::string& variant, Disposition disposition,
                      const std::string& reason) {
  Row row = measured_row(kind, variant, 1);
  row.disposition = disposition;
  row.reason = reason;
  row.timing.reset();
  row.roofline.reset();
  row.baseline = row.memory_difference = "";
  row.speedup.reset();
  row.memory_ratio.reset();
  if (disposition == Disposition::incorrect) row.verification->rel_err = 0.5;
  if (disposition == Disposition::unsupported) {
    row.choice = "";
    row.verification.reset();
    row.memory.reset();
  }
  return row;
}

}  // namespace lcnn::bench
