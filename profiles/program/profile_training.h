// lcnn_profile --model: steps of a training under the profiler.
#pragma once

#include "profiles/program/options.h"

namespace lcnn::profiles {

// Records the making of the network and the steps, prints and writes the profile. Returns the exit code. Throws
// std::invalid_argument or std::runtime_error, one line, for what cannot be used.
int profile_training(const TrainingProfileOptions& options);

}  // namespace lcnn::profiles
