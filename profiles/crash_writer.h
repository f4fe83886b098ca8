// Results that a crash would lose.
#pragma once

#include <functional>
#include <thread>

namespace lcnn::profiles {

// While it lives, a crash of the process (a segmentation fault, an abort, ...) in any thread first runs `write` on a thread of
// its own, for ten seconds at most; then the process dies of its signal, as it would have. One at a time; with another one
// there it does nothing.
class CrashWriter {
 public:
  explicit CrashWriter(std::function<void(int signal)> write);
  ~CrashWriter();
  CrashWriter(const CrashWriter&) = delete;
  CrashWriter& operator=(const CrashWriter&) = delete;

 private:
  void wait_and_write();

  std::function<void(int)> write_;
  bool installed_ = false;
  std::thread thread_;
};

}  // namespace lcnn::profiles
