#include "profiles/crash_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <exception>
#include <utility>

namespace lcnn::profiles {
namespace {

constexpr std::array kSignals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr int kMostMilliseconds = 10'000;

// Handlers may call few functions; write and poll on pipes are among them.
std::atomic<bool> claimed{false}, crashed{false};
std::array<int, 2> request{-1, -1}, answer{-1, -1};
std::array<struct sigaction, kSignals.size()> previous;

void restore() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

void on_crash(int signal) {
  const auto byte = static_cast<unsigned char>(signal);
  if (!crashed.exchange(true) && write(request[1], &byte, 1) == 1) {
    pollfd done{.fd = answer[0], .events = POLLIN, .revents = 0};
    poll(&done, 1, kMostMilliseconds);
  }
  restore();
  raise(signal);
}

}  // namespace

CrashWriter::CrashWriter(std::function<void(int)> write) : write_(std::move(write)) {
  if (claimed.exchange(true)) return;
  if (pipe2(request.data(), O_CLOEXEC) != 0 || pipe2(answer.data(), O_CLOEXEC) != 0) {
    claimed = false;
    return;
  }
  installed_ = true;
  thread_ = std::thread([this] { wait_and_write(); });
  struct sigaction action{};
  action.sa_handler = on_crash;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &previous[i]);
}

CrashWriter::~CrashWriter() {
  if (!installed_) return;
  restore();
  const unsigned char end = 0;
  if (::write(request[1], &end, 1) == 1) thread_.join();
  for (const int file : {request[0], request[1], answer[0], answer[1]}) close(file);
  claimed = false;
}

void CrashWriter::wait_and_write() {
  unsigned char signal = 0;
  if (read(request[0], &signal, 1) != 1 || signal == 0) return;
  try {
    write_(signal);
  } catch (const std::exception&) {  // the process dies of its signal, not of this
  }
  if (::write(answer[1], &signal, 1) != 1) return;
}

}  // namespace lcnn::profiles
