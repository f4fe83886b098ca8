#include "profiles/cupti_error.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace lcnn::profiles {
namespace {

const char* remedy(CUptiResult result) {
  switch (result) {
    case CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES:
      return ": the driver permits counters to administrators only; the machine's administrator sets its module option "
             "NVreg_RestrictProfilingToAdminUsers=0, or the program gets CAP_SYS_ADMIN";
    case CUPTI_ERROR_HARDWARE_BUSY:
      return ": another tool holds the counters, often DCGM; dcgmi profiling --pause releases them";
    case CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED:
      return ": another tool (Nsight, compute-sanitizer, LibTorch's profiler) uses CUPTI in this process; run without it";
    default:
      return "";
  }
}

void check_cuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw std::runtime_error(fmt::format("{}: {}", call, cudaGetErrorString(status)));
}

}  // namespace

std::string error_text(CUptiResult result) {
  const char* text = nullptr;
  const bool known = cuptiGetResultString(result, &text) == CUPTI_SUCCESS && text != nullptr;
  return (known ? text : fmt::format("error {}", static_cast<int>(result))) + remedy(result);
}

void check(CUptiResult result, const char* call) {
  if (result != CUPTI_SUCCESS) throw std::runtime_error(fmt::format("{}: {}", call, error_text(result)));
}

void require_device() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error(fmt::format("no CUDA device can be used: {}", cudaGetErrorString(status)));
}

CUcontext current_context() {
  check_cuda(cudaFree(nullptr), "cudaFree");  // makes the primary context
  // Through the runtime, because programs that link the driver's library start on no machine without a driver.
  using GetCurrent = CUresult(CUDAAPI*)(CUcontext*);
  void* found = nullptr;
  cudaDriverEntryPointQueryResult query{};
#if CUDART_VERSION >= 13000
  check_cuda(cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &found, 12000, cudaEnableDefault, &query), "cuCtxGetCurrent");
#else
  check_cuda(cudaGetDriverEntryPoint("cuCtxGetCurrent", &found, cudaEnableDefault, &query), "cuCtxGetCurrent");
#endif
  CUcontext context = nullptr;
  if (query != cudaDriverEntryPointSuccess || reinterpret_cast<GetCurrent>(found)(&context) != CUDA_SUCCESS || context == nullptr) {
    throw std::runtime_error("this thread has no CUDA context");
  }
  return context;
}

void require_supported(CUpti_Profiler_API api) {
  auto support = CUPTI_PARAMETERS(CUpti_Profiler_DeviceSupported_Params);
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  support.cuDevice = device;
  support.api = api;
  check(cuptiProfilerDeviceSupported(&support), "cuptiProfilerDeviceSupported");
  if (support.isSupported == CUPTI_PROFILER_CONFIGURATION_SUPPORTED) return;
  const std::array<std::pair<CUpti_Profiler_Support_Level, const char*>, 6> kinds{
      {{support.architecture, "its architecture"}, {support.sli, "SLI"}, {support.vGpu, "it is a virtual GPU"},
       {support.confidentialCompute, "confidential computing"}, {support.cmp, "it is a mining processor"}, {support.wsl, "WSL"}}};
  for (const auto& [level, name] : kinds) {
    if (level != CUPTI_PROFILER_CONFIGURATION_SUPPORTED) {
      throw std::runtime_error(fmt::format("the GPU gives no counters: {}{}", name,
                                           level == CUPTI_PROFILER_CONFIGURATION_DISABLED ? ", where they are switched off" : ""));
    }
  }
  throw std::runtime_error("the GPU gives no counters");
}

}  // namespace lcnn::profiles
