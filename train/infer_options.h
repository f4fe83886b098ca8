// The command line of lcnn_infer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/problem.h"
#include "train/options.h"

namespace lcnn::train {

struct InferOptions {
  std::string checkpoint;
  std::vector<std::string> images;  // files, and folders of them
  std::string dataset, data;  // or a data set whose validation images are predicted, its folder
  bool test_part = false;     // its test images instead
  std::int64_t subset = 0;    // of the data set, the first ones; 0: all
  std::string variant;        // empty: auto
  Device device = Device::cpu;
  std::int64_t batch = 0, top = 0;
  int threads = 0;  // 0: all cores
  bool json = false;
};

// Throws std::invalid_argument (one line) for what is not accepted, HelpRequested for --help.
InferOptions parse_infer_options(const std::vector<std::string>& arguments);

}  // namespace lcnn::train
