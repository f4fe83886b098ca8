// CUPTI's activity records as a source of profiles: kernels, copies, memsets, device memory, the calls of the CUDA
// runtime and the driver's launches.
#pragma once

#include <memory>
#include <string>

#include "profiles/recorder.h"

namespace lcnn::profiles {

struct CuptiSource {
  std::unique_ptr<Source> source;  // null where `why_not` says why
  std::string why_not;             // "CUDA records: off, ...", in one line
};

// Claims CUPTI for this process as long as the source lives: CUPTI serves one tool at a time. Another one (LibTorch's
// profiler, Nsight, compute-sanitizer) is left alone and named in `why_not`. Where the source cannot start later on,
// as while stalls are sampled or counters are taken, Recorder::start throws std::runtime_error.
CuptiSource make_cupti_source();

}  // namespace lcnn::profiles
