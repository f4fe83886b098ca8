// Time that has passed on the host's steady clock.
#pragma once

#include <chrono>

namespace lcnn::bench {

inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

inline double microseconds_since(std::chrono::steady_clock::time_point begin) { return seconds_since(begin) * 1e6; }

}  // namespace lcnn::bench
