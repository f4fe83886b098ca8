// Kernels' names as their source has them.
#pragma once

#include <string>

namespace lcnn::profiles {

// The name itself where it is not mangled, "unknown kernel" for null. Remembers names; any thread.
std::string demangled(const char* name);

}  // namespace lcnn::profiles
