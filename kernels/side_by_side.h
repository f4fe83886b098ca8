// Work shared out to threads on the host.
#pragma once

#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace lcnn {

// worker(0) ... worker(workers - 1), each on a thread of its own; returns when all have ended and throws the first
// exception that one of them threw. Not std::async: a program's instantiations of std::call_once inside <future> take the
// place of LibTorch's own at load time, and where the two compilers differ oneDNN's first primitive crashes.
template <typename Worker>
void run_side_by_side(std::size_t workers, const Worker& worker) {
  std::exception_ptr first;
  std::mutex first_guard;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < workers; ++i) {
      threads.emplace_back([&, i] {
        try {
          worker(i);
        } catch (...) {
          const std::lock_guard lock(first_guard);
          if (first == nullptr) first = std::current_exception();
        }
      });
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace lcnn
