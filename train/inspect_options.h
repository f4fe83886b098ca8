// The command line of lcnn_inspect.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/problem.h"
#include "train/options.h"

namespace lcnn::train {

struct InspectOptions {
  std::string checkpoint, out;  // out: a folder of pictures and weights; empty: none are written
  std::string variant;          // empty: auto
  Device device = Device::cpu;
  std::int64_t batch = 0, runs = 0, filters = 0;
  int threads = 0;  // 0: all cores
  bool json = false;
};

// Throws std::invalid_argument (one line) for what is not accepted, HelpRequested for --help.
InspectOptions parse_inspect_options(const std::vector<std::string>& arguments);

}  // namespace lcnn::train
