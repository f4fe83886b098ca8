// CUPTI's status codes as exceptions, for the sources that call it (LCNN_HAS_CUPTI).
#pragma once

#include <cupti.h>
#include <cupti_profiler_target.h>

#include <string>

namespace lcnn::profiles {

// "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES", and after it what to change where something can be changed.
std::string error_text(CUptiResult result);

// Throws std::runtime_error, one line that begins with the call, unless it succeeded.
void check(CUptiResult result, const char* call);

// Throws std::runtime_error that says why no CUDA device can be used.
void require_device();

// The CUDA context of this thread; the device's primary one is made where there is none yet. Throws std::runtime_error.
CUcontext current_context();

// Throws std::runtime_error that says why the device of this thread has no such counters (virtual GPUs, for example).
void require_supported(CUpti_Profiler_API api);

// A parameter structure of CUPTI with its size set, and zeros otherwise.
#define CUPTI_PARAMETERS(Type) Type{Type##_STRUCT_SIZE}

}  // namespace lcnn::profiles
