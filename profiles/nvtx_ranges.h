// Ranges: NVTX's, in a domain of their own, so that Nsight and CUPTI can filter on them (`lcnn@measure`), and our
// recorder's while one records.
//
// Names that repeat are registered strings: Nsight Systems' capture ranges need them. Without a profiler attached a
// range costs a load and a branch for each of the two; builds without CUDA have no NVTX.
#pragma once

#include "profiles/recorder.h"

#if LCNN_HAS_NVTX
#include <nvtx3/nvtx3.hpp>
#endif

namespace lcnn::profiles {

// A range from construction to destruction, on this thread.
class Range {
 public:
#if LCNN_HAS_NVTX
  struct Domain {
    static constexpr const char* name{"lcnn"};
  };
  using Name = nvtx3::registered_string_in<Domain>;

  // A name built at run time, such as a row's. It has to outlive the range.
  explicit Range(const char* name) : Range(name, Name(name)) {}
  // A phase, which is registered once: Range::of<PrepareRange>().
  template <typename Phase>
  static Range of() {
    return Range(Phase::message, Name::get<Phase>());
  }

 private:
  Range(const char* text, const Name& name) : nvtx_(nvtx3::event_attributes{name}), recorded_(text) {}
  nvtx3::scoped_range_in<Domain> nvtx_;
#else
  explicit Range(const char* name) : recorded_(name) {}
  template <typename Phase>
  static Range of() {
    return Range(Phase::message);
  }

 private:
#endif
  RecordedRange recorded_;
};

// The samples of all rows that are measured together: what Nsight Systems captures.
struct MeasureRowsRange {
  static constexpr const char* message{"measure-rows"};
};

// Where inputs and outputs of rows that are measured together are allocated.
struct BuffersRange {
  static constexpr const char* message{"input and output"};
};

// The phases of every row, inside its own range.
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
struct CountRange {
  static constexpr const char* message{"count"};
};

}  // namespace lcnn::profiles
