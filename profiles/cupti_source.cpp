#include "profiles/cupti_source.h"

#if LCNN_HAS_CUPTI

#include <cuda_runtime_api.h>
#include <cupti.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <vector>

#include "profiles/buffer_pool.h"
#include "profiles/cupti_error.h"
#include "profiles/cupti_turn.h"
#include "profiles/demangle.h"

namespace lcnn::profiles {
namespace {

constexpr std::size_t kBufferBytes = 4 << 20, kBufferAlignment = 64;  // CUPTI asks for an alignment of 8

// The records that this CUPTI writes; their names change when fields are added.
#if CUPTI_API_VERSION >= 130000
using KernelRecord = CUpti_ActivityKernel10;
using MemcpyRecord = CUpti_ActivityMemcpy6;
using MemoryRecord = CUpti_ActivityMemory4;
#else
using KernelRecord = CUpti_ActivityKernel9;
using MemcpyRecord = CUpti_ActivityMemcpy5;
using MemoryRecord = CUpti_ActivityMemory3;
#endif
using PeerCopyRecord = CUpti_ActivityMemcpyPtoP4;
using MemsetRecord = CUpti_ActivityMemset4;

// Never destroyed, because CUPTI's threads outlive statics.
BufferPool& buffers() {
  static auto* const kept = new BufferPool(kBufferBytes, kBufferAlignment);
  return *kept;
}

// "cudaLaunchKernel" of "cudaLaunchKernel_ptsz_v7000"
std::string call_name(CUpti_CallbackDomain domain, CUpti_CallbackId id) {
  const char* text = nullptr;
  if (cuptiGetCallbackName(domain, id, &text) != CUPTI_SUCCESS || text == nullptr)
    return fmt::format("CUDA call {}", id);
  std::string name = text;
  const std::size_t version = name.rfind("_v");
  if (version != std::string::npos && name.find_first_not_of("0123456789", version + 2) == std::string::npos)
    name.resize(version);
  if (name.ends_with("_ptsz")) name.resize(name.size() - 5);
  return name;
}

bool is_launch(const std::string& name) {
  return name.find("LaunchKernel") != std::string::npos ||
         name.find("LaunchCooperativeKernel") != std::string::npos ||
         name.find("GraphLaunch") != std::string::npos;
}

const char* copy_name(std::uint8_t kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
      return "copy host to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
      return "copy device to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
      return "copy device to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOH:
      return "copy host to host";
    default:
      return "copy";
  }
}

// All records of work on the device have these fields.
template <typename Record>
DeviceEvent device_event(DeviceKind kind, const Record& record) {
  return {.kind = kind,
          .device = record.deviceId,
          .stream = record.streamId,
          .begin_ns = static_cast<std::int64_t>(record.start),
          .end_ns = static_cast<std::int64_t>(record.end),
          .correlation = record.correlationId};
}
template <typename Record>
DeviceEvent transfer_event(DeviceKind kind, const Record& record) {
  DeviceEvent event = device_event(kind, record);
  event.bytes = static_cast<std::int64_t>(record.bytes);
  return event;
}

void record_call(const CUpti_ActivityAPI& call, CUpti_CallbackDomain domain) {
  const std::string name = call_name(domain, call.cbid);
  record(HostEvent{.kind = HostKind::cuda_call,
                   .thread = static_cast<std::int32_t>(call.threadId),
                   .begin_ns = static_cast<std::int64_t>(call.start),
                   .end_ns = static_cast<std::int64_t>(call.end),
                   .correlation = call.correlationId,
                   .launches = call.returnValue == 0 && is_launch(name)},
         name);
}

// Device memory that the process takes from the driver, counted from the start of the first recording on.
void record_memory(const MemoryRecord& memory) {
  static std::mutex mutex;
  static auto* const live = new std::map<std::uint32_t, std::int64_t>;
  if (memory.memoryKind != CUPTI_ACTIVITY_MEMORY_KIND_DEVICE && memory.memoryKind != CUPTI_ACTIVITY_MEMORY_KIND_MANAGED) return;
  const bool allocated = memory.memoryOperationType == CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION;
  const auto bytes = static_cast<std::int64_t>(memory.bytes) * (allocated ? 1 : -1);
  const std::lock_guard lock(mutex);
  std::int64_t& live_bytes = (*live)[memory.deviceId];
  live_bytes = std::max<std::int64_t>(live_bytes + bytes, 0);  // what is released may be older than the recording
  record(MemoryEvent{.time_ns = static_cast<std::int64_t>(memory.timestamp), .address = memory.address, .bytes = bytes,
                     .live_bytes = live_bytes, .correlation = memory.correlationId},
         fmt::format("driver on CUDA {}", memory.deviceId));
}

template <typename Record>
const Record& as(const CUpti_Activity* activity) {
  return *reinterpret_cast<const Record*>(activity);
}

void record_activity(const CUpti_Activity* activity) {
  switch (activity->kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
      const auto& kernel = as<KernelRecord>(activity);
      DeviceEvent event = device_event(DeviceKind::kernel, kernel);
      event.registers = kernel.registersPerThread;
      return record(event, demangled(kernel.name));
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto& copy = as<MemcpyRecord>(activity);
      return record(transfer_event(DeviceKind::memcpy, copy), copy_name(copy.copyKind));
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY2:
      return record(transfer_event(DeviceKind::memcpy, as<PeerCopyRecord>(activity)), "copy between devices");
    case CUPTI_ACTIVITY_KIND_MEMSET:
      return record(transfer_event(DeviceKind::memset, as<MemsetRecord>(activity)), "memset");
    case CUPTI_ACTIVITY_KIND_MEMORY2:
      return record_memory(as<MemoryRecord>(activity));
    case CUPTI_ACTIVITY_KIND_RUNTIME:
      return record_call(as<CUpti_ActivityAPI>(activity), CUPTI_CB_DOMAIN_RUNTIME_API);
    case CUPTI_ACTIVITY_KIND_DRIVER:
      return record_call(as<CUpti_ActivityAPI>(activity), CUPTI_CB_DOMAIN_DRIVER_API);
    default:
      return;
  }
}

void CUPTIAPI request_buffer(std::uint8_t** buffer, std::size_t* bytes, std::size_t* most_records) {
  *buffer = buffers().take();
  *bytes = *buffer != nullptr ? kBufferBytes : 0;  // without a buffer CUPTI drops records and counts them
  *most_records = 0;                               // as many as fit
}

void CUPTIAPI complete_buffer(CUcontext context, std::uint32_t stream, std::uint8_t* buffer, std::size_t,
                              std::size_t valid) {
  CUpti_Activity* activity = nullptr;
  while (valid > 0 && cuptiActivityGetNextRecord(buffer, valid, &activity) == CUPTI_SUCCESS)
    record_activity(activity);
  std::size_t dropped = 0;
  if (cuptiActivityGetNumDroppedRecords(context, stream, &dropped) == CUPTI_SUCCESS && dropped > 0) {
    record_lost(static_cast<std::int64_t>(dropped));
  }
  buffers().give_back(buffer);
}

std::uint64_t CUPTIAPI timestamp() { return static_cast<std::uint64_t>(now_ns()); }

void CUPTIAPI ignore_callback(void*, CUpti_CallbackDomain, CUpti_CallbackId, const void*) {}

constexpr std::array kDeviceKinds{CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY,
                                  CUPTI_ACTIVITY_KIND_MEMCPY2, CUPTI_ACTIVITY_KIND_MEMSET,
                                  CUPTI_ACTIVITY_KIND_MEMORY2};
// What launches kernels without the runtime; its other calls would only repeat the runtime's.
constexpr std::array kDriverLaunches{CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel,
                                     CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel_ptsz,
                                     CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx,
                                     CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx_ptsz,
                                     CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel,
                                     CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel_ptsz,
                                     CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch,
                                     CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch_ptsz};

class Cupti final : public Source {
 public:
  // Throws std::runtime_error when CUPTI cannot be had.
  Cupti() {
    turn_.emplace(kTurn);
    subscribe();
    try {
      check(cuptiSetThreadIdType(CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM), "cuptiSetThreadIdType");
      check(cuptiActivityRegisterTimestampCallback(timestamp), "cuptiActivityRegisterTimestampCallback");
      check(cuptiActivityRegisterCallbacks(request_buffer, complete_buffer),
            "cuptiActivityRegisterCallbacks");
      enable();  // what is not permitted shows now
    } catch (...) {
      disable();
      cuptiUnsubscribe(subscriber_);
      throw;
    }
    disable();
  }
  ~Cupti() override { cuptiUnsubscribe(subscriber_); }

  void start() override {
    turn_.emplace(kTurn);
    try {
      enable();
    } catch (...) {
      disable();
      throw;
    }
  }
  void stop() override {
    disable_calls();  // what follows is ours
    cudaDeviceSynchronize();
    cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    disable();
  }

 private:
  void subscribe() {
    std::string holder = "another tool";
#ifdef CUpti_SubscriberParams_STRUCT_SIZE
    std::array<char, CUPTI_OLD_SUBSCRIBER_NAME_MIN_LEN + 1> name{};
    CUpti_SubscriberParams parameters{};
    parameters.structSize = CUpti_SubscriberParams_STRUCT_SIZE;
    parameters.subscriberName = "lcnn";
    parameters.oldSubscriberName = name.data();
    parameters.oldSubscriberSize = name.size() - 1;
    const CUptiResult result = cuptiSubscribe_v2(&subscriber_, ignore_callback, nullptr, &parameters);
    if (name[0] != '\0') holder = name.data();
#else
    const CUptiResult result = cuptiSubscribe(&subscriber_, ignore_callback, nullptr);
#endif
    if (result == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED) {
      throw std::runtime_error(
          fmt::format("{} profiles this process already, and CUPTI serves one tool at a time", holder));
    }
    check(result, "cuptiSubscribe");
  }

  void enable() const {
    for (const CUpti_ActivityKind kind : kDeviceKinds)
      check(cuptiActivityEnable(kind), "cuptiActivityEnable");
    check(cuptiActivityEnable(CUPTI_ACTIVITY_KIND_RUNTIME), "cuptiActivityEnable");
    for (const auto call : kDriverLaunches)
      check(cuptiActivityEnableDriverApi(call, 1), "cuptiActivityEnableDriverApi");
  }
  void disable_calls() const {
    cuptiActivityDisable(CUPTI_ACTIVITY_KIND_RUNTIME);
    for (const auto call : kDriverLaunches) cuptiActivityEnableDriverApi(call, 0);
  }
  void disable() {
    disable_calls();
    for (const CUpti_ActivityKind kind : kDeviceKinds) cuptiActivityDisable(kind);
    turn_.reset();
  }

  static constexpr const char* kTurn = "activity records";
  std::optional<CuptiTurn> turn_;  // while records are on
  CUpti_SubscriberHandle subscriber_ = nullptr;
};

}  // namespace

CuptiSource make_cupti_source() {
  try {
    require_device();
    return {std::make_unique<Cupti>(), ""};
  } catch (const std::runtime_error& error) {
    return {nullptr, fmt::format("CUDA records: off, {}", error.what())};
  }
}

}  // namespace lcnn::profiles

#else

namespace lcnn::profiles {

CuptiSource make_cupti_source() {
  return {nullptr, "CUDA records: off, this program was built without CUPTI"};
}

}  // namespace lcnn::profiles

#endif
