// The command line of lcnn_profile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/options.h"
#include "profiles/profile_options.h"
#include "train/options.h"

namespace lcnn::profiles {

struct TrainingProfileOptions {
  train::Options training;  // its architecture is complete; nothing of data sets and files is
  std::int64_t steps = 0;
  ProfileOptions profile;
};

struct ProgramOptions {
  std::optional<TrainingProfileOptions> training;  // with --model
  bench::Options rows;                             // without
};

// Throws std::invalid_argument (one line) for what is not accepted, bench::HelpRequested for --help.
ProgramOptions parse_program_options(const std::vector<std::string>& arguments);

}  // namespace lcnn::profiles
