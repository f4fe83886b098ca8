#include "variants/operator_recorder.h"

#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <memory>
#include <string>

namespace lcnn {
namespace {

using profiles::HostKind;

struct OpenOperator final : at::ObserverContext {
  std::int64_t begin_ns = profiles::now_ns();
};

std::unique_ptr<at::ObserverContext> begin_operator(const at::RecordFunction&) { return std::make_unique<OpenOperator>(); }

void end_operator(const at::RecordFunction& function, at::ObserverContext* context) {
  const HostKind kind = function.scope() == at::RecordScope::USER_SCOPE ? HostKind::range : HostKind::operator_call;
  profiles::record_span(kind, function.name(), static_cast<OpenOperator*>(context)->begin_ns);
}

// What LibTorch's allocators call at every allocation and release.
class MemoryObserver final : public c10::MemoryReportingInfoBase {
 public:
  bool memoryProfilingEnabled() const override { return true; }
  void reportMemoryUsage(void* address, std::int64_t bytes, std::size_t live_bytes, std::size_t, c10::Device device) override {
    if (!profiles::recording()) return;
    const std::string name = device.is_cpu() ? "LibTorch on the CPU" : "LibTorch on CUDA " + std::to_string(device.index());
    profiles::record(profiles::MemoryEvent{.time_ns = profiles::now_ns(), .address = reinterpret_cast<std::uintptr_t>(address),
                                           .bytes = bytes, .live_bytes = static_cast<std::int64_t>(live_bytes)},
                     name);
  }
};

class OperatorSource final : public profiles::Source {
 public:
  void start() override {
    callback_ = at::addGlobalCallback(at::RecordFunctionCallback(begin_operator, end_operator)
                                          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION,
                                                   at::RecordScope::USER_SCOPE}));
  }
  void stop() override { at::removeCallback(callback_); }

 private:
  at::CallbackHandle callback_ = at::INVALID_CALLBACK_HANDLE;
  // Also while nothing is recorded: LibTorch counts the live bytes of the CPU only as long as it is observed.
  const c10::DebugInfoGuard memory_{c10::DebugInfoKind::PROFILER_STATE, std::make_shared<MemoryObserver>()};
};

}  // namespace

std::unique_ptr<profiles::Source> make_operator_source() { return std::make_unique<OperatorSource>(); }

}  // namespace lcnn
