// The memory that rows are measured on.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/session.h"

namespace lcnn::bench {

// Inputs and outputs of one layout. All sets hold different random inputs; set 0's is the same in both layouts.
class Buffers {
 public:
  Buffers(Session& session, const Conv2dProblem& problem, Precision precision, std::int64_t sets) {
    for (std::int64_t set = 0; set < sets; ++set) {
      inputs_.emplace_back(session.allocator(), problem.input_elements() * element_bytes(precision), MemoryKind::workspace);
      outputs_.emplace_back(session.allocator(), problem.output_elements() * element_bytes(precision), MemoryKind::workspace);
    }
  }
  void fill(Session& session, const Conv2dProblem& problem, Precision precision, Layout layout, std::uint64_t seed) {
    for (Buffer& input : inputs_) session.fill_random(input.as<void>(), problem, precision, layout, seed++);
    session.synchronize();
  }
  std::int64_t sets() const { return static_cast<std::int64_t>(inputs_.size()); }
  void* x(std::int64_t set) const { return inputs_[set].as<void>(); }
  void* y(std::int64_t set) const { return outputs_[set].as<void>(); }

 private:
  std::vector<Buffer> inputs_, outputs_;
};

}  // namespace lcnn::bench
