// A quick timing for choosing among kernels at preparation; reports are measured by bench/.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/variant.h"

namespace lcnn::cuda {

// The current device's, as choices are kept under it.
std::string device_name();

// Pairs of random input and output that together exceed the L2 twice.
class RotatedTiming {
 public:
  // Inputs are those of `input`, filled with random numbers; outputs are `output_bytes` of memory.
  RotatedTiming(const Conv2dProblem& input, Precision precision, Layout layout, std::int64_t output_bytes, const Execution& execution);

  // Median over `timings` of one run in microseconds, from replays of a graph that holds some runs: what a launch costs the
  // host is not in it. `run` enqueues one on the execution's stream. Throws what `run` throws, and std::runtime_error
  // when it cannot be captured.
  double microseconds(const std::function<void(const void* input, void* output)>& run, int timings = 5) const;

  // One of the pairs.
  const void* input() const { return inputs_.front().as<void>(); }
  void* output() const { return outputs_.front().as<void>(); }

 private:
  void* stream_;
  std::vector<Buffer> inputs_, outputs_;
};

}  // namespace lcnn::cuda
