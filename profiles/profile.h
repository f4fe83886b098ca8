// What was recorded: spans on CPU threads, work on CUDA streams, memory. Times are nanoseconds of one steady clock.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lcnn::profiles {

enum class HostKind {
  range,          // a user's range, as NVTX has them
  operator_call,  // an operator of a library, such as aten::conv2d
  cuda_call,      // a call of the CUDA runtime or driver
};
enum class DeviceKind { kernel, memcpy, memset };

std::string_view to_string(HostKind kind);    // "range", "operator", "cuda_call"
std::string_view to_string(DeviceKind kind);  // "kernel", "memcpy", "memset"

// Names of events, each kept once.
class Names {
 public:
  using Id = std::uint32_t;
  Id id(std::string_view name);
  const std::string& operator[](Id id) const { return *by_id_[id]; }

 private:
  std::map<std::string, Id, std::less<>> ids_;  // its keys stay where they are
  std::vector<const std::string*> by_id_;
};

// A span on a CPU thread.
struct HostEvent {
  HostKind kind = HostKind::range;
  Names::Id name = 0;
  std::int32_t thread = 0;  // the system's id
  std::int64_t begin_ns = 0, end_ns = 0;
  std::uint32_t correlation = 0;  // of CUDA calls: what their device work carries, too
  bool launches = false;          // a CUDA call that device work has to follow
};

// Work on a CUDA stream.
struct DeviceEvent {
  DeviceKind kind = DeviceKind::kernel;
  Names::Id name = 0;
  std::uint32_t device = 0, stream = 0;
  std::int64_t begin_ns = 0, end_ns = 0;
  std::uint32_t correlation = 0;  // of the call that launched it, a graph's launch for all of its nodes
  std::int64_t bytes = 0;         // copied or set
  std::uint16_t registers = 0;    // of a kernel, a thread's
};

// An allocation (bytes > 0) or a release (bytes < 0).
struct MemoryEvent {
  std::int64_t time_ns = 0;
  Names::Id allocator = 0;      // "LibTorch on CUDA 0"
  std::int32_t thread = 0;      // that asked for it; 0 where `correlation` says it
  std::uint64_t address = 0;
  std::int64_t bytes = 0;
  std::int64_t live_bytes = 0;  // of the allocator, after it
  std::uint32_t correlation = 0;  // of the CUDA call that it belongs to
};

struct Profile {
  Profile() = default;
  Profile(const Profile&) = delete;  // Names points into itself
  Profile& operator=(const Profile&) = delete;

  Names names;
  std::vector<HostEvent> host;
  std::vector<DeviceEvent> device;
  std::vector<MemoryEvent> memory;
  std::int64_t left_out = 0;      // events that came when the recorder was full
  std::int64_t lost_records = 0;  // records that CUPTI says it dropped
};

inline constexpr std::size_t kNoParent = static_cast<std::size_t>(-1);

// How host events nest on their threads; all by index into Profile::host.
struct Nesting {
  std::vector<std::size_t> order;     // by thread, then by begin, a parent before its children
  std::vector<std::size_t> parent;    // the innermost span around each, or kNoParent
  std::vector<std::int64_t> end_ns;   // the event's own, at most its parent's
  // Of operators and calls without a parent: the innermost range of the one other thread that was in a range all the while, or
  // kNoParent. LibTorch runs the backward pass of CUDA on a thread of its own, while the caller waits inside its range.
  std::vector<std::size_t> adopted_by;

  // What device work and memory of an event count for, too: its parent, else who adopted it.
  std::size_t outside(std::size_t event) const { return parent[event] != kNoParent ? parent[event] : adopted_by[event]; }
};
Nesting nest(const Profile& profile);

// Finds spans by thread and time. The profile and the nesting have to outlive it.
class SpanFinder {
 public:
  SpanFinder(const Profile& profile, const Nesting& nesting);
  // The innermost span of the thread at that time, or kNoParent.
  std::size_t innermost(std::int32_t thread, std::int64_t time_ns) const;
  // The innermost range from begin to end of the one thread, other than this one, that has such a range; else kNoParent.
  std::size_t range_of_another(std::int32_t thread, std::int64_t begin_ns, std::int64_t end_ns) const;

 private:
  const Profile& profile_;
  const Nesting& nesting_;
  std::map<std::int32_t, std::pair<std::size_t, std::size_t>> threads_;  // where each is in Nesting::order
};

// The call that launched each device event, as index into Profile::host, or kNoParent where it was not recorded.
std::vector<std::size_t> launching_calls(const Profile& profile, const Nesting& nesting);

// Empty when every launch has its device work and no event was lost or left out, else one line that says what is missing:
// times of such a profile are too small. Launches into a stream that is being captured run nothing and need no work.
std::string missing_records(const Profile& profile);

}  // namespace lcnn::profiles
