// NVML is called through its C interface without its header, which toolkits do not always install
// (docs.nvidia.com/deploy/nvml-api: nvmlDeviceGetClockInfo, nvmlDeviceGetCurrentClocksThrottleReasons).
#include "bench/nvml_clocks.h"

#include <dlfcn.h>

#include <array>

namespace lcnn::bench {
namespace {

using NvmlDevice = void*;
constexpr int kNvmlSuccess = 0;
constexpr int kClockSm = 1;

struct Reason {
  unsigned long long bit;
  const char* name;
  bool is_throttling;  // the card slows down to protect itself
};

// The power cap is ordinary under heavy matrix work and only noted.
constexpr std::array<Reason, 6> kReasons{{{0x04, "sw_power_cap", false},
                                          {0x08, "hw_slowdown", true},
                                          {0x10, "sync_boost", false},
                                          {0x20, "sw_thermal_slowdown", true},
                                          {0x40, "hw_thermal_slowdown", true},
                                          {0x80, "hw_power_brake", true}}};

}  // namespace

struct NvmlClocks::Library {
  void* handle = nullptr;
  NvmlDevice device = nullptr;

  template <typename Function>
  Function symbol(const char* name) const {
    return handle == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle, name));
  }
};

NvmlClocks::NvmlClocks(const std::string& pci_bus_id) : library_(new Library) {
  library_->handle = dlopen("libnvidia-ml.so.1", RTLD_NOW);
  const auto init = library_->symbol<int (*)()>("nvmlInit_v2");
  const auto find = library_->symbol<int (*)(const char*, NvmlDevice*)>("nvmlDeviceGetHandleByPciBusId_v2");
  if (init == nullptr || find == nullptr || init() != kNvmlSuccess) return;
  if (find(pci_bus_id.c_str(), &library_->device) != kNvmlSuccess) library_->device = nullptr;
}

NvmlClocks::~NvmlClocks() = default;  // the library stays loaded: others in the process may use it

std::optional<ClockReading> NvmlClocks::read() const {
  const auto clock =
      library_->symbol<int (*)(NvmlDevice, int, unsigned*)>("nvmlDeviceGetClockInfo");
  const auto reasons = library_->symbol<int (*)(NvmlDevice, unsigned long long*)>(
      "nvmlDeviceGetCurrentClocksThrottleReasons");
  unsigned mhz = 0;
  unsigned long long bits = 0;
  if (library_->device == nullptr || clock == nullptr || reasons == nullptr ||
      clock(library_->device, kClockSm, &mhz) != kNvmlSuccess ||
      reasons(library_->device, &bits) != kNvmlSuccess) {
    return std::nullopt;
  }
  ClockReading reading{.sm_mhz = static_cast<int>(mhz)};
  for (const Reason& reason : kReasons) {
    if ((bits & reason.bit) == 0) continue;
    reading.throttle_reasons.emplace_back(reason.name);
    reading.throttled = reading.throttled || reason.is_throttling;
  }
  return reading;
}

std::string NvmlClocks::driver_version() const {
  const auto version = library_->symbol<int (*)(char*, unsigned)>("nvmlSystemGetDriverVersion");
  char text[80];
  if (library_->device == nullptr || version == nullptr || version(text, sizeof text) != kNvmlSuccess) return "unknown";
  return text;
}

}  // namespace lcnn::bench
