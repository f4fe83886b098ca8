// Operators of LibTorch, and the memory that its allocators hand out, as a source of profiles.
#pragma once

#include <memory>

#include "profiles/recorder.h"

namespace lcnn {

// Records every operator of any thread (at::RecordFunction) and the allocations of the thread that makes the source, which has
// to destroy it, too. Start and stop it while no other thread runs operators.
std::unique_ptr<profiles::Source> make_operator_source();

}  // namespace lcnn
