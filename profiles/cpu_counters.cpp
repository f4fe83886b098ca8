#include "profiles/cpu_counters.h"

#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace lcnn::profiles {
namespace {

constexpr std::array<std::uint64_t, 3> kEvents{PERF_COUNT_HW_CPU_CYCLES, PERF_COUNT_HW_INSTRUCTIONS,
                                               PERF_COUNT_HW_CACHE_MISSES};

int open_counter(std::uint64_t event, pid_t thread) {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_HARDWARE;
  attributes.config = event;
  attributes.disabled = 1;
  attributes.inherit = 1;
  attributes.exclude_kernel = 1;  // what perf_event_paranoid 2, the usual setting, permits
  attributes.exclude_hv = 1;
  attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  return static_cast<int>(syscall(SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

std::string reason(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return "the system does not permit them: set kernel.perf_event_paranoid to 2 or less (sysctl), in a "
             "container also "
             "permit the call perf_event_open";
    case ENOENT:
    case ENODEV:
    case EOPNOTSUPP:
      return "this processor, or the virtual machine, has none";
    case ENOSYS:
      return "the system has no perf_event_open";
    default:
      return std::strerror(error);
  }
}

}  // namespace

CpuCounters::CpuCounters() {
  std::error_code error;
  int first_errno = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const auto thread = static_cast<pid_t>(std::atoi(task.path().filename().c_str()));
    for (std::size_t kind = 0; kind < kKinds; ++kind) {
      const int file = open_counter(kEvents[kind], thread);
      if (file >= 0)
        files_[kind].push_back(file);
      else if (first_errno == 0)
        first_errno = errno;
    }
  }
  if (files_[0].empty() && files_[1].empty() && files_[2].empty()) {
    why_not_ = "CPU counters: off, " + reason(first_errno != 0 ? first_errno : error.value());
  }
}

CpuCounters::~CpuCounters() {
  for (const std::vector<int>& files : files_) {
    for (const int file : files) close(file);
  }
}

void CpuCounters::start() {
  for (const std::vector<int>& files : files_) {
    for (const int file : files) ioctl(file, PERF_EVENT_IOC_ENABLE, 0);
  }
}

void CpuCounters::stop() {
  for (const std::vector<int>& files : files_) {
    for (const int file : files) ioctl(file, PERF_EVENT_IOC_DISABLE, 0);
  }
}

CpuCounts CpuCounters::counts() const {
  const auto total = [](const std::vector<int>& files) -> std::optional<double> {
    if (files.empty()) return std::nullopt;
    double sum = 0;
    for (const int file : files) {
      struct {
        std::uint64_t value, enabled_ns, running_ns;
      } reading{};
      if (read(file, &reading, sizeof reading) != sizeof reading || reading.running_ns == 0) continue;
      sum += static_cast<double>(reading.value) * static_cast<double>(reading.enabled_ns) /
             static_cast<double>(reading.running_ns);
    }
    return sum;
  };
  return {.cycles = total(files_[0]), .instructions = total(files_[1]), .cache_misses = total(files_[2])};
}

CpuCounts CpuCounts::since(const CpuCounts& earlier, double runs) const {
  const auto difference = [runs](const std::optional<double>& now, const std::optional<double>& before) {
    return now && before ? std::optional((*now - *before) / runs) : std::nullopt;
  };
  return {.cycles = difference(cycles, earlier.cycles),
          .instructions = difference(instructions, earlier.instructions),
          .cache_misses = difference(cache_misses, earlier.cache_misses)};
}

std::string to_text(const CpuCounts& found) {
  const auto shown = [](const std::optional<double>& count) {
    return count ? fmt::format("{:.3g}", *count) : "not counted";
  };
  const bool per_cycle = found.cycles && found.instructions && *found.cycles > 0;
  return fmt::format("cycles {}, instructions {}{}, cache misses {}", shown(found.cycles),
                     shown(found.instructions),
                     per_cycle ? fmt::format(" ({:.2f} a cycle)", *found.instructions / *found.cycles) : "",
                     shown(found.cache_misses));
}

}  // namespace lcnn::profiles
