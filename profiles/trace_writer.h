// Writes a profile as a trace that Perfetto (ui.perfetto.dev) and chrome://tracing open.
#pragma once

#include <cstdint>
#include <string>

#include "profiles/profile.h"

namespace lcnn::profiles {

struct TraceOptions {
  bool gzip = false;
  std::int64_t most_bytes = std::int64_t{256} << 20;  // before compression; events from then on are left out
};

struct TraceSummary {
  std::int64_t events = 0, left_out = 0;  // of the profile's; arrows and names of tracks are not counted
};

// Chrome's trace event format: a track for each thread and each stream, arrows from launches to their work, counters of
// live memory. Times are microseconds since the first event. The file appears whole or not at all. Throws
// std::runtime_error, one line that names the path, when it cannot be written.
TraceSummary write_trace(const Profile& profile, const std::string& path, const TraceOptions& options = {});

}  // namespace lcnn::profiles
