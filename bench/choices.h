// What a run measures, as its options ask for it on a device. Each throws std::invalid_argument, one line, for what cannot be.
#pragma once

#include <vector>

#include "bench/options.h"
#include "bench/plan.h"
#include "bench/training.h"

namespace lcnn::bench {

Device choose_device(const Options& options);

// Whether the filter names steps of training: they are measured in place of layers then, and for nobody who did not ask.
bool asks_for_training(const Options& options);

// Layers, and those of their rows that the filter selects.
std::vector<Group> choose_groups(const Options& options, Device device);

// Networks, and those of their rows that the filter selects.
std::vector<TrainingGroup> choose_training_groups(const Options& options, Device device, const TrainingNetworks& networks);

// Input, output, weights and the float64 reference of each group's largest stage have to fit before anything is measured.
void check_memory(const std::vector<Group>& groups, const Session& session);

}  // namespace lcnn::bench
