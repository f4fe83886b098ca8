// All that is said of one piece of work, such as a row's run or a training step: times, counters, what they mean.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "profiles/counters.h"
#include "profiles/cpu_counters.h"
#include "profiles/diagnosis.h"
#include "profiles/stall_reasons.h"

namespace lcnn::profiles {

// What was counted of one piece of work: of one run of it.
struct Counted {
  LeastWork least;
  double time_ns = 0;  // without the profiler
  double overhead = 0;  // of the recorder: time with it over the time without, minus 1
  CpuCounts cpu;
  Counters gpu;
  struct Kernel {
    std::string name;
    std::string range;  // the innermost one that launched it, inside the work; empty without one
    int registers = 0;
    Counters counters;
  };
  std::vector<Kernel> kernels;  // in the order of their launches
  StallSamples stalls;
};

// Lines under the name: the time against the least, the diagnosis, the counters of the work, of its ranges and of its longest
// kernels. What was not counted is not mentioned.
std::string to_text(const std::string& name, const Counted& counted);
nlohmann::ordered_json to_json(const Counted& counted);

}  // namespace lcnn::profiles
