// Replaces malloc's family in this program by glibc's own plus two counters. Linking this file is what switches it on.
#include "bench/host_allocation_counter.h"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace lcnn::bench {
namespace {

std::atomic<std::int64_t> live{0}, peak{0};

#if !LCNN_SANITIZED
void* count(void* pointer) {
  if (pointer == nullptr) return nullptr;
  const auto bytes = static_cast<std::int64_t>(malloc_usable_size(pointer));
  const std::int64_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t most = peak.load(std::memory_order_relaxed);
  while (now > most && !peak.compare_exchange_weak(most, now, std::memory_order_relaxed)) {
  }
  return pointer;
}

void discount(void* pointer) {
  if (pointer == nullptr) return;
  live.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(pointer)), std::memory_order_relaxed);
}
#endif

}  // namespace

std::int64_t host_live_bytes() { return live.load(); }
std::int64_t host_peak_bytes() { return peak.load(); }
void reset_host_peak() { peak.store(live.load()); }

}  // namespace lcnn::bench

#if !LCNN_SANITIZED
extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t bytes) { return lcnn::bench::count(__libc_malloc(bytes)); }
void* calloc(std::size_t count, std::size_t bytes) { return lcnn::bench::count(__libc_calloc(count, bytes)); }
void* memalign(std::size_t alignment, std::size_t bytes) { return lcnn::bench::count(__libc_memalign(alignment, bytes)); }
void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return memalign(alignment, bytes); }

void* realloc(void* pointer, std::size_t bytes) {
  const auto before = pointer == nullptr ? 0 : static_cast<std::int64_t>(malloc_usable_size(pointer));
  void* moved = __libc_realloc(pointer, bytes);
  if (moved != nullptr || bytes == 0) lcnn::bench::live.fetch_sub(before, std::memory_order_relaxed);
  return lcnn::bench::count(moved);
}

int posix_memalign(void** pointer, std::size_t alignment, std::size_t bytes) {
  void* taken = memalign(alignment, bytes);
  if (taken == nullptr) return ENOMEM;
  *pointer = taken;
  return 0;
}

void free(void* pointer) {
  lcnn::bench::discount(pointer);
  __libc_free(pointer);
}

}  // extern "C"
#endif
