// The training itself.
#pragma once

#include "train/options.h"
#include "train/world.h"

namespace lcnn::train {

enum class Outcome { finished, diverged, interrupted };

// Asks a running training to stop after its current batch; may be called by a signal handler.
void request_stop();

// Trains as the options say; checkpoints and metrics are in options.out after every epoch. Prints a line an epoch on stdout, and
// progress on stderr when that is a terminal. Throws std::invalid_argument or std::runtime_error, one line, for what cannot be
// used; files that were there are intact then.
// Each process of a world trains with its share of every batch, and ends like the others; only the first one writes and prints.
Outcome train(const Options& options, const World& world);

}  // namespace lcnn::train
