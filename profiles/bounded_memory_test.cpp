// However long is recorded, memory stays bounded.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "profiles/buffer_pool.h"
#include "profiles/recorder.h"

namespace lcnn::profiles {
namespace {

std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(BoundedMemory, TenMinutesOfEventsAreKeptUpToTheBoundAndCountedFromThere) {
  constexpr int kThreads = 4, kEventsOfAThread = 600 * 30'000 / kThreads;  // 30,000 a second
  constexpr std::size_t kMost = 500'000;
  const std::int64_t before = resident_bytes();
  Recorder recorder(kMost);
  recorder.start();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < kEventsOfAThread; i += 3) {
        // Names that never repeat: those of events that are left out must not be kept either.
        const std::string name = "kernel " + std::to_string(t) + "." + std::to_string(i);
        record_span(HostKind::operator_call, name, now_ns());
        record(DeviceEvent{.begin_ns = i, .end_ns = i + 1}, name);
        record(MemoryEvent{.time_ns = i, .address = 1, .bytes = 8, .live_bytes = 8}, "allocator");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  recorder.stop();
  const Profile& profile = recorder.profile();
  EXPECT_EQ(profile.host.size() + profile.device.size() + profile.memory.size(), kMost);
  EXPECT_EQ(profile.left_out, std::int64_t{kThreads} * kEventsOfAThread - static_cast<std::int64_t>(kMost));
  EXPECT_LT(resident_bytes() - before, std::int64_t{300} << 20);
}

TEST(BoundedMemory, CuptisBuffersAreRecycled) {
  constexpr std::size_t kAtOnce = 4;
  BufferPool pool(1 << 20, 64);
  std::deque<std::uint8_t*> lent;
  for (int i = 0; i < 1'000'000; ++i) {
    lent.push_back(pool.take());
    ASSERT_NE(lent.back(), nullptr);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(lent.back()) % 64, 0u);
    if (lent.size() == kAtOnce) {
      pool.give_back(lent.front());
      lent.pop_front();
    }
  }
  EXPECT_EQ(pool.allocated(), kAtOnce);
}

}  // namespace
}  // namespace lcnn::profiles
