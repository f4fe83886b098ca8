#include "profiles/recorder.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace lcnn::profiles {
namespace {

// The profile that is recorded into, for all threads: a range may end while another thread stops the
// recorder.
std::mutex current_mutex;
Profile* current = nullptr;
std::size_t most_events = 0;

std::int32_t this_thread() {
  thread_local const auto id = static_cast<std::int32_t>(syscall(SYS_gettid));
  return id;
}

// Runs `add(profile)` if there is a profile with room.
template <typename Add>
void with_room(const Add& add) {
  const std::lock_guard lock(current_mutex);
  if (current == nullptr) return;
  if (current->host.size() + current->device.size() + current->memory.size() < most_events) {
    add(*current);
  } else {
    ++current->left_out;
  }
}

}  // namespace

Recorder::~Recorder() { stop(); }

void Recorder::start() {
  {
    const std::lock_guard lock(current_mutex);
    if (current != nullptr) throw std::logic_error("a profile is being recorded already");
    current = &profile_;
    most_events = most_events_;
  }
  std::size_t started = 0;
  try {
    for (; started < sources_.size(); ++started) sources_[started]->start();
  } catch (...) {
    while (started > 0) sources_[--started]->stop();
    const std::lock_guard lock(current_mutex);
    current = nullptr;
    throw;
  }
  detail::recording = true;
}

void Recorder::stop() {
  {
    const std::lock_guard lock(current_mutex);
    if (current != &profile_) return;
  }
  detail::recording = false;
  for (const auto& source : sources_) source->stop();
  const std::lock_guard lock(current_mutex);
  current = nullptr;
}

bool Recorder::abandon() {
  constexpr int kMostTries = 1000;
  detail::recording = false;
  for (int i = 0; i < kMostTries; ++i) {
    if (current_mutex.try_lock()) {
      if (current == &profile_) current = nullptr;
      current_mutex.unlock();
      return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void record(HostEvent event, std::string_view name) {
  with_room([&](Profile& profile) {
    event.name = profile.names.id(name);
    profile.host.push_back(event);
  });
}

void record(DeviceEvent event, std::string_view name) {
  with_room([&](Profile& profile) {
    event.name = profile.names.id(name);
    profile.device.push_back(event);
  });
}

void record(MemoryEvent event, std::string_view allocator) {
  if (event.correlation == 0) event.thread = this_thread();
  with_room([&](Profile& profile) {
    event.allocator = profile.names.id(allocator);
    profile.memory.push_back(event);
  });
}

void record_lost(std::int64_t records) {
  const std::lock_guard lock(current_mutex);
  if (current != nullptr) current->lost_records += records;
}

void record_span(HostKind kind, std::string_view name, std::int64_t begin_ns) {
  record(HostEvent{.kind = kind, .thread = this_thread(), .begin_ns = begin_ns, .end_ns = now_ns()}, name);
}

}  // namespace lcnn::profiles
