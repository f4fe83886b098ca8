// What the tests of profiles/ share: events put together by hand, a profile whose numbers are known.
#pragma once

#include <string>

#include "profiles/profile.h"

namespace lcnn::profiles {

inline void add_host(Profile& profile, HostKind kind, const std::string& name, std::int64_t begin_ns, std::int64_t end_ns,
                     std::uint32_t correlation = 0, std::int32_t thread = 1) {
  profile.host.push_back({.kind = kind, .name = profile.names.id(name), .thread = thread, .begin_ns = begin_ns,
                          .end_ns = end_ns, .correlation = correlation, .launches = correlation != 0});
}

inline void add_device(Profile& profile, DeviceKind kind, const std::string& name, std::int64_t begin_ns,
                       std::int64_t end_ns, std::uint32_t correlation, std::uint32_t stream = 7) {
  profile.device.push_back({.kind = kind, .name = profile.names.id(name), .device = 0, .stream = stream,
                            .begin_ns = begin_ns, .end_ns = end_ns, .correlation = correlation});
}

inline void add_memory(Profile& profile, const std::string& allocator, std::int64_t time_ns, std::uint64_t address,
                       std::int64_t bytes, std::int64_t live_bytes, std::int32_t thread = 1, std::uint32_t correlation = 0) {
  profile.memory.push_back({.time_ns = time_ns, .allocator = profile.names.id(allocator), .thread = thread, .address = address,
                            .bytes = bytes, .live_bytes = live_bytes, .correlation = correlation});
}

// Two ranges in one another, an operator that launches a kernel twice, a graph with two kernels and a copy launched by
// the inner range, a kernel that overlaps its predecessor, a second thread, memory. Recorded as a recorder does it:
// spans when they end, device work last.
inline void fill_example(Profile& profile) {
  add_host(profile, HostKind::cuda_call, "cudaLaunchKernel", 1200, 1300, 1);
  add_host(profile, HostKind::cuda_call, "cudaLaunchKernel", 1400, 1500, 2);
  add_host(profile, HostKind::operator_call, "aten::conv2d", 1100, 1700);
  add_host(profile, HostKind::cuda_call, "cudaGraphLaunch", 1800, 2000, 3);
  add_host(profile, HostKind::range, "measure", 1050, 2100);
  add_host(profile, HostKind::range, "row", 1000, 3000);
  add_host(profile, HostKind::operator_call, "aten::add", 1500, 1600, 0, 2);
  add_device(profile, DeviceKind::kernel, "conv<half>", 1350, 2350, 1);
  add_device(profile, DeviceKind::kernel, "conv<half>", 2250, 3250, 2);
  add_device(profile, DeviceKind::kernel, "gather \"quoted\"\n", 3300, 3600, 3);
  add_device(profile, DeviceKind::memcpy, "copy DtoH", 3700, 3800, 3);
  add_device(profile, DeviceKind::kernel, "unknown launcher", 4000, 4050, 99, 8);
  add_memory(profile, "CUDA 0", 1150, 0x100, 512, 512);
  add_memory(profile, "CUDA 0", 1650, 0x100, -512, 0);
}

}  // namespace lcnn::profiles
