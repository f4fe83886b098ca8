// The training itself.
#pragma once

#include "train/options.h"

namespace lcnn::train {

enum class Outcome { finished, diverged, interrupted };

// Asks a running training to stop after its current batch; may be called by a signal handler.
void request_stop();

// Trains as the options say; checkpoints and metrics are in options.out after every epoch. Prints a line an epoch on stdout, and
// progress on stderr when that is a terminal. Throws std::invalid_argument or std::runtime_error, one line, for what cannot be
// used; files that were there are intact then.
Outcome train(const Options& options);

}  // namespace lcnn::train
