// An allocator for tests.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/variant.h"

namespace lcnn {

// Memory full of NaN: what is read before anything was written there shows in the result.
class PoisoningHeap final : public Allocator {
 public:
  void* allocate(std::int64_t bytes, MemoryKind) override {
    const std::size_t size = (static_cast<std::size_t>(bytes) + 255) / 256 * 256;
    void* pointer = std::aligned_alloc(256, std::max<std::size_t>(size, 256));
    std::memset(pointer, 0xFF, std::max<std::size_t>(size, 256));
    return pointer;
  }
  void release(void* pointer) noexcept override { std::free(pointer); }
};

}  // namespace lcnn
