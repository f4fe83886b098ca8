// Buffers that are lent out and come back: as many exist as were lent at once, however often they are lent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace lcnn::profiles {

// Any thread. Buffers are never released: CUPTI may hand one back as late as at the end of the process.
class BufferPool {
 public:
  BufferPool(std::size_t bytes, std::size_t alignment) : bytes_(bytes), alignment_(alignment) {}

  // Null when there is no memory for another one.
  std::uint8_t* take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      auto* const buffer = static_cast<std::uint8_t*>(std::aligned_alloc(alignment_, bytes_));
      if (buffer != nullptr) ++allocated_;
      return buffer;
    }
    std::uint8_t* const buffer = free_.back();
    free_.pop_back();
    return buffer;
  }
  void give_back(std::uint8_t* buffer) {
    const std::lock_guard lock(mutex_);
    free_.push_back(buffer);
  }
  std::size_t buffer_bytes() const { return bytes_; }
  std::size_t allocated() {
    const std::lock_guard lock(mutex_);
    return allocated_;
  }

 private:
  const std::size_t bytes_, alignment_;
  std::mutex mutex_;
  std::vector<std::uint8_t*> free_;
  std::size_t allocated_ = 0;
};

}  // namespace lcnn::profiles
