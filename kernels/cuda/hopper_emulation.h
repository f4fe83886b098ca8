// What hopper.cuh and dictionary_tile.cuh give a kernel's text, on a host: each thread of a block is a thread, one block at a
// time. Copies are done when they are begun, products and stores only when somebody waits for them, so that memory that is
// given back too early shows in the result; and a thread sanitizer sees what is shared without a barrier.
//
// The kernel's text and main() follow; `memory` is the block's shared memory.
#pragma once

#include <algorithm>
#include <barrier>
#include <bit>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __shared__
#define __forceinline__ inline
#define __restrict__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes)
#define __cluster_dims__(...)

using std::max;
using std::min;

struct Dim {
  unsigned x = 0, y = 0, z = 0;
};
struct uint2 {
  unsigned x, y;
};
struct uint4 {
  unsigned x, y, z, w;
};
struct float2 {
  float x, y;
};
struct float4 {
  float x, y, z, w;
};
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline thread_local Dim threadIdx;
inline Dim blockIdx, gridDim;
alignas(1024) char memory[256 * 1024];

namespace emulation {

inline std::unique_ptr<std::barrier<>> block_barrier;
inline std::vector<std::unique_ptr<std::barrier<>>> warp_barriers, warpgroup_barriers, named_barriers;
inline std::vector<unsigned> shuffled;
inline std::vector<uint2> exchanged;  // between the threads of a warp
inline std::vector<const unsigned*> metadata_registers;  // of each thread, for the product that its warp begins

// Of 64 bits in shared memory.
struct Barrier {
  std::mutex guard;
  std::condition_variable changed;
  int arrivals = 0, pending = 0, bytes = 0, phase = 0;

  void end_phase_if_complete() {
    if (pending > 0 || bytes != 0) return;
    phase ^= 1;
    pending = arrivals;
    changed.notify_all();
  }
};
inline std::map<unsigned, Barrier> barriers;  // made by one thread before the others see them

// What a thread has begun and not yet waited for.
using Actions = std::vector<std::function<void()>>;
inline thread_local std::deque<Actions> product_groups, store_groups;
inline thread_local Actions products, stores;

// Runs all groups but the last `left`.
inline void run_groups(std::deque<Actions>& groups, std::size_t left) {
  for (; groups.size() > left; groups.pop_front()) {
    for (const auto& action : groups.front()) action();
  }
}

}  // namespace emulation

inline void __syncthreads() { emulation::block_barrier->arrive_and_wait(); }
inline void __syncwarp() { emulation::warp_barriers[threadIdx.x / 32]->arrive_and_wait(); }
inline unsigned __shfl_sync(unsigned, unsigned value, int lane) {
  unsigned& slot = emulation::shuffled[threadIdx.x / 32];
  if (static_cast<int>(threadIdx.x % 32) == lane) slot = value;
  __syncwarp();
  const unsigned result = slot;
  __syncwarp();
  return result;
}

inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selectors) {
  const std::uint64_t bytes = low | static_cast<std::uint64_t>(high) << 32;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= static_cast<unsigned>(bytes >> (selectors >> i * 4 & 7) * 8 & 0xFF) << i * 8;
  return result;
}

// A tensor [batch][height][width][channels] of 16-bit elements and the box that is copied: [images][rows][columns][64 channels].
struct EmulatedMap {
  std::uint16_t* data;
  int channels, width, height, batch, columns, rows, images = 1, box_channels = 64;
};

namespace lcnn_device {

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;

struct Half {
  using Element = u16;
  static constexpr int kTerms = 1;
  static u16 bits(float value) {
    const auto half = static_cast<_Float16>(value);
    u16 result;
    std::memcpy(&result, &half, 2);
    return result;
  }
  static float value(u16 bits) {
    _Float16 half;
    std::memcpy(&half, &bits, 2);
    return static_cast<float>(half);
  }
  static u32 store_pair(float low, float high) { return bits(low) | static_cast<u32>(bits(high)) << 16; }
  static u32 round_pair(float low, float high) { return store_pair(low, high); }
  static u32 multiply_add(u32 a, u32 b, u32 c) {
    const auto one = [&](int shift) { return value(static_cast<u16>(a >> shift)) * value(static_cast<u16>(b >> shift)) + value(static_cast<u16>(c >> shift)); };
    return store_pair(one(0), one(16));
  }
};

template <int kBytes> struct Word;
template <> struct Word<4> { using Type = u32; };
template <> struct Word<8> { using Type = uint2; };

template <typename T, int kBytes>
T load_shared(u32 address) {
  T value;
  std::memcpy(&value, memory + address + kBytes, 4);
  return value;
}
inline uint4 load_shared_words(u32 address) {
  uint4 words;
  std::memcpy(&words, memory + address, 16);
  return words;
}
inline u32 low_half_words_behind(u32 address, u32 halves) { return address + (halves & 0xFFFF) * 4; }
inline u32 high_half_twice(u32 halves) { return (halves >> 16) * 0x10001u; }
inline u32 shared_address(const void* pointer) { return static_cast<u32>(static_cast<const char*>(pointer) - memory); }
inline void let_next_kernel_begin() {}
inline void wait_for_previous_kernel() {}
inline void prefetch_map(const void*) {}
inline void publish_barriers() {}
inline void publish_to_async_units() {}

inline void init_barrier(u32 barrier, int arrivals) {
  emulation::Barrier& made = emulation::barriers[barrier];
  made.arrivals = made.pending = arrivals;
  made.bytes = made.phase = 0;
}
inline void change(u32 barrier, int arrivals, int bytes) {
  emulation::Barrier& changed = emulation::barriers.at(barrier);
  const std::lock_guard lock(changed.guard);
  changed.pending -= arrivals;
  changed.bytes += bytes;
  changed.end_phase_if_complete();
}
inline void arrive(u32 barrier) { change(barrier, 1, 0); }
inline void arrive_expecting(u32 barrier, int bytes) { change(barrier, 1, bytes); }
inline void wait_barrier(u32 barrier, int parity) {
  emulation::Barrier& waited = emulation::barriers.at(barrier);
  std::unique_lock lock(waited.guard);
  waited.changed.wait(lock, [&] { return waited.phase != (parity & 1); });
}

// Of a cluster of one block; blocks run one after the other.
inline int block_of_cluster() { return 0; }
inline u32 of_block(u32 address, int) { return address; }
inline void arrive_at(u32 barrier) { arrive(barrier); }
inline void meet_cluster() { __syncthreads(); }
inline void copy_to_block(u32, u32, int, u32) {}

// In rows of so many bytes.
inline u32 swizzled(u32 address, int bytes = 128) { return address ^ (address >> 7 & (bytes / 16 - 1)) << 4; }

inline void bulk_copy(u32 to, const void* from, int bytes, u32 barrier) {
  std::memcpy(memory + to, from, bytes);
  change(barrier, 0, -bytes);
}
inline void tiled_copy(u32 to, const void* map_of_tensor, int c0, int c1, int c2, int c3, u32 barrier) {
  const auto& map = **static_cast<EmulatedMap* const*>(map_of_tensor);
  for (int line = 0; line < map.images * map.rows; ++line) {
    for (int column = 0; column < map.columns; ++column) {
      for (int channel = 0; channel < map.box_channels; ++channel) {
        const int c = c0 + channel, w = c1 + column, h = c2 + line % map.rows, n = c3 + line / map.rows;
        const bool inside = c < map.channels && w >= 0 && w < map.width && h >= 0 && h < map.height && n < map.batch;
        const u16 value = inside ? map.data[((static_cast<i64>(n) * map.height + h) * map.width + w) * map.channels + c] : 0;
        std::memcpy(memory + swizzled(to + (line * map.columns + column) * map.box_channels * 2 + channel * 2, map.box_channels * 2), &value, 2);
      }
    }
  }
  change(barrier, 0, -map.images * map.rows * map.columns * map.box_channels * 2);
}
inline void tiled_store(const void* map_of_tensor, u32 from, int c0, int c1, int c2, int c3) {
  emulation::stores.push_back([=, map = **static_cast<EmulatedMap* const*>(map_of_tensor)] {
    for (int column = 0; column < map.columns; ++column) {
      for (int channel = 0; channel < map.box_channels; ++channel) {
        const int c = c0 + channel, w = c1 + column;
        if (c >= map.channels || w >= map.width || c2 >= map.height || c3 >= map.batch) continue;
        std::memcpy(&map.data[((static_cast<i64>(c3) * map.height + c2) * map.width + w) * map.channels + c],
                    memory + swizzled(from + (column * map.box_channels + channel) * 2, map.box_channels * 2), 2);
      }
    }
  });
}
inline void commit_stores() {
  emulation::store_groups.push_back(std::move(emulation::stores));
  emulation::stores.clear();
}
template <int kLeft>
void wait_stores_read() {
  emulation::run_groups(emulation::store_groups, kLeft);
}

// An operand: where it lies, what is between its blocks of 16 bytes, and whether it is swizzled.
inline u64 swizzled_operand(u32 address) { return static_cast<u64>(address) | 1ull << 63; }
inline u64 blocked_operand(u32 address, int block_bytes) { return static_cast<u64>(address) | static_cast<u64>(block_bytes) << 32; }
inline float value_at(u32 address) {
  u16 bits;
  std::memcpy(&bits, memory + address, 2);
  return Half::value(bits);
}
// The last 64 rows may reach beyond X into what others write: their sums are not used.
__attribute__((no_sanitize("thread"), noinline)) inline float swizzled_value_at(u32 address) {
  return Half::value(*reinterpret_cast<const u16*>(memory + swizzled(address)));
}
inline float element(u64 operand, int row, int byte) {
  const auto address = static_cast<u32>(operand);
  if (operand >> 63) return swizzled_value_at(address + row * 128 + byte);
  return value_at(address + byte / 16 * static_cast<u32>(operand >> 32) + row * 16 + byte % 16);
}

template <int kColumns>
struct RegisterProduct;  // of elements of 32 bits
template <int kColumns>
struct Product {
  static void add(float (&d)[kColumns / 2], u64 a, u64 b, int accumulate) {
    emulation::products.push_back([sums = &d[0], a, b, accumulate, thread = threadIdx.x] {
      const int row = thread / 32 % 4 * 16 + thread % 32 / 4, column = thread % 4 * 2;
      for (int i = 0; i < kColumns / 2; ++i) {
        float sum = accumulate ? sums[i] : 0;
        for (int byte = 0; byte < 32; byte += 2) sum += element(a, row + i / 2 % 2 * 8, byte) * element(b, i / 4 * 8 + column + i % 2, byte);
        sums[i] = sum;
      }
    });
  }
};
// A thread has the entries of two rows, 8 apart, that metadata of two threads of its four say. The product reads it when it
// is done, not when it is begun: a register that is loaded again too early shows in the result.
template <int kColumns>
struct SparseProduct {
  template <int kSelector>
  static void add(float (&d)[kColumns / 2], u64 a, u64 b, const u32& metadata, int accumulate) {
    emulation::metadata_registers[threadIdx.x] = &metadata;
    __syncwarp();
    const u32* const* from = &emulation::metadata_registers[threadIdx.x / 4 * 4 + kSelector * 2];
    const u32 *low_entries = from[0], *high_entries = from[1];
    __syncwarp();
    emulation::products.push_back([=, sums = &d[0], thread = threadIdx.x] {
      const u32 words[2] = {*low_entries, *high_entries};
      int entries[2][16];  // of the 32 those that a row has
      for (int row = 0; row < 2; ++row) {
        for (int four = 0; four < 8; ++four) {
          const u32 pair = words[four / 4] >> (row * 16 + four % 4 * 4) & 0xF;
          if ((pair & 3) >= pair >> 2) std::fprintf(stderr, "metadata %x of four entries\n", pair), std::abort();
          entries[row][four * 2] = four * 4 + (pair & 3);
          entries[row][four * 2 + 1] = four * 4 + (pair >> 2);
        }
      }
      const int first = thread / 32 % 4 * 16 + thread % 32 / 4, column = thread % 4 * 2;
      for (int i = 0; i < kColumns / 2; ++i) {
        const int row = i / 2 % 2;
        float sum = accumulate ? sums[i] : 0;
        for (int k = 0; k < 16; ++k) sum += element(a, first + row * 8, k * 2) * element(b, i / 4 * 8 + column + i % 2, entries[row][k] * 2);
        sums[i] = sum;
      }
    });
  }
};
inline void store_transposed(u32 address, u32 first, u32 second) {
  emulation::exchanged[threadIdx.x] = {first, second};
  __syncwarp();
  const int lane = threadIdx.x % 32, warp = threadIdx.x - lane, column = lane % 8;
  if (lane < 16) {
    for (int row = 0; row < 8; ++row) {
      const uint2& pairs = emulation::exchanged[warp + row * 4 + column / 2];
      const auto value = static_cast<u16>((lane < 8 ? pairs.x : pairs.y) >> column % 2 * 16);
      std::memcpy(memory + address + row * 2, &value, 2);
    }
  }
  __syncwarp();
}
inline void begin_products() {}
template <int, int>
void take_registers() {}

inline void commit_products() {
  emulation::product_groups.push_back(std::move(emulation::products));
  emulation::products.clear();
}
// A product is its warpgroup's: none of its warps gets past the wait for it before all have begun it and it is done.
template <int kLeft>
void wait_products() {
  std::barrier<>& warpgroup = *emulation::warpgroup_barriers[threadIdx.x / 128];
  warpgroup.arrive_and_wait();
  emulation::run_groups(emulation::product_groups, kLeft);
  warpgroup.arrive_and_wait();
}
inline void keep_register(u32) {}
template <int kThreads>
void meet(int barrier) {
  emulation::named_barriers[barrier]->arrive_and_wait();
}

}  // namespace lcnn_device

namespace emulation {

// Runs blocks of `threads` threads, one after the other; named barriers are of `named_threads` threads.
template <typename Kernel>
void run(unsigned blocks, unsigned threads, int named_threads, const Kernel& kernel) {
  gridDim.x = blocks;
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    std::memset(memory, 0xFF, sizeof memory);  // NaN
    barriers.clear();
    block_barrier = std::make_unique<std::barrier<>>(threads);
    warp_barriers.clear();
    warpgroup_barriers.clear();
    named_barriers.clear();
    for (unsigned warp = 0; warp < threads / 32; ++warp) warp_barriers.push_back(std::make_unique<std::barrier<>>(32));
    for (unsigned group = 0; group < threads / 128; ++group) warpgroup_barriers.push_back(std::make_unique<std::barrier<>>(128));
    for (int i = 0; i < 16; ++i) named_barriers.push_back(std::make_unique<std::barrier<>>(named_threads));
    shuffled.assign(threads / 32, 0);
    exchanged.assign(threads, {});
    metadata_registers.assign(threads, nullptr);
    std::vector<std::thread> all;
    for (unsigned thread = 0; thread < threads; ++thread) {
      all.emplace_back([thread, &kernel] {
        threadIdx.x = thread;
        kernel();
      });
    }
    for (std::thread& each : all) each.join();
  }
}

}  // namespace emulation
