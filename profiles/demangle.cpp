#include "profiles/demangle.h"

#include <cxxabi.h>

#include <cstdlib>
#include <mutex>
#include <unordered_map>

namespace lcnn::profiles {

std::string demangled(const char* name) {
  static std::mutex mutex;
  static auto* const known = new std::unordered_map<std::string, std::string>;  // CUPTI's threads may outlive statics
  if (name == nullptr) return "unknown kernel";
  const std::lock_guard lock(mutex);
  std::string& text = (*known)[name];
  if (text.empty()) {
    int status = 0;
    char* found = abi::__cxa_demangle(name, nullptr, nullptr, &status);
    text = status == 0 && found != nullptr ? found : name;
    std::free(found);
  }
  return text;
}

}  // namespace lcnn::profiles
