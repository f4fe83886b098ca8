// What is made for a kernel's candidates only as far as a search asks for them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

namespace lcnn::cuda {

// Made by `make` when it is first asked for, once; several threads may ask, of which one at a time makes something.
template <typename Made>
class PerCandidate {
 public:
  explicit PerCandidate(std::function<Made(std::size_t candidate)> make) : make_(std::move(make)) {}

  const Made& of(std::size_t candidate) {
    const std::lock_guard lock(guard_);
    const auto found = made_.find(candidate);
    return found != made_.end() ? found->second : made_.emplace(candidate, make_(candidate)).first->second;
  }

 private:
  std::function<Made(std::size_t)> make_;
  std::mutex guard_;
  std::map<std::size_t, Made> made_;
};

}  // namespace lcnn::cuda
