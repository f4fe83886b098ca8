// NVTX ranges in a domain of their own, so that Nsight and CUPTI can filter on them (`lcnn@measure`).
//
// Names that repeat are registered strings: Nsight Systems' capture ranges need them. Without a profiler attached a
// range costs a load and a branch; in builds without CUDA it is nothing.
#pragma once

#if LCNN_HAS_NVTX
#include <nvtx3/nvtx3.hpp>
#endif

namespace lcnn::profiles {

#if LCNN_HAS_NVTX

struct NvtxDomain {
  static constexpr const char* name{"lcnn"};
};

// A range from construction to destruction, on this thread.
class Range {
 public:
  // A name built at run time, such as a row's.
  explicit Range(const char* name) : Range(nvtx3::registered_string_in<NvtxDomain>(name)) {}
  // A phase, which is registered once: Range::of<PrepareRange>().
  template <typename Phase>
  static Range of() {
    return Range(nvtx3::registered_string_in<NvtxDomain>::get<Phase>());
  }

 private:
  explicit Range(const nvtx3::registered_string_in<NvtxDomain>& name) : range_(nvtx3::event_attributes{name}) {}
  nvtx3::scoped_range_in<NvtxDomain> range_;
};

#else

class Range {
 public:
  explicit Range(const char*) {}
  template <typename Phase>
  static Range of() {
    return Range("");
  }
  ~Range() {}
};

#endif

// The phases of every row.
struct PrepareRange {
  static constexpr const char* message{"prepare"};
};
struct VerifyRange {
  static constexpr const char* message{"verify"};
};
struct WarmUpRange {
  static constexpr const char* message{"warm-up"};
};
struct MeasureRange {
  static constexpr const char* message{"measure"};
};

}  // namespace lcnn::profiles
