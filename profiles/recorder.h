// Collects what happens in the process into a Profile, while it records. Without a recorder a range costs a load and a
// branch.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "profiles/profile.h"

namespace lcnn::profiles {

// Where events come from besides ranges, such as CUPTI. Started and stopped with the recorder, on its thread.
class Source {
 public:
  virtual ~Source() = default;
  virtual void start() = 0;
  virtual void stop() = 0;  // hands in everything that it still holds, and observes nothing from then on
};

// Records between start() and stop(), as often as wanted, into one profile. One recorder of a process records at a time.
class Recorder {
 public:
  // Events beyond `most_events` are counted and left out: memory stays bounded however long is recorded.
  explicit Recorder(std::size_t most_events = 2'000'000) : most_events_(most_events) {}
  ~Recorder();  // stops
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void add(std::unique_ptr<Source> source) { sources_.push_back(std::move(source)); }
  void start();  // throws std::logic_error when this or another one records, and what a source throws that cannot start
  void stop();   // nothing when it does not record
  // Stops without its sources, which keep what they hold: for a process that crashed. Fails when a thread that crashed holds
  // the profile's lock; the profile is not whole then.
  bool abandon();
  const Profile& profile() const { return profile_; }  // while it does not record

 private:
  std::size_t most_events_;
  std::vector<std::unique_ptr<Source>> sources_;
  Profile profile_;
};

// Records as long as it lives; with a null recorder it does nothing.
class Recording {
 public:
  explicit Recording(Recorder* recorder) : recorder_(recorder) {
    if (recorder_ != nullptr) recorder_->start();
  }
  ~Recording() {
    if (recorder_ != nullptr) recorder_->stop();
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

 private:
  Recorder* recorder_;
};

namespace detail {
inline std::atomic<bool> recording{false};
}

// Whether a recorder records.
inline bool recording() { return detail::recording.load(std::memory_order_relaxed); }

// The clock of all events, nanoseconds of std::chrono::steady_clock.
std::int64_t now_ns();

// For sources: hand an event to the recorder that records, if any. The event's name is set from `name`. Any thread.
void record(HostEvent event, std::string_view name);
void record(DeviceEvent event, std::string_view name);
// Of the calling thread, unless the event names a CUDA call.
void record(MemoryEvent event, std::string_view allocator);
void record_lost(std::int64_t records);

// A span of this thread that ends now.
void record_span(HostKind kind, std::string_view name, std::int64_t begin_ns);

// A range from construction to destruction, recorded if a recorder records at both. `name` has to outlive it.
class RecordedRange {
 public:
  explicit RecordedRange(const char* name) : name_(name), begin_ns_(recording() ? now_ns() : kNotRecorded) {}
  ~RecordedRange() {
    if (begin_ns_ != kNotRecorded && recording()) record_span(HostKind::range, name_, begin_ns_);
  }
  RecordedRange(const RecordedRange&) = delete;
  RecordedRange& operator=(const RecordedRange&) = delete;

 private:
  static constexpr std::int64_t kNotRecorded = -1;
  const char* name_;
  std::int64_t begin_ns_;
};

}  // namespace lcnn::profiles
