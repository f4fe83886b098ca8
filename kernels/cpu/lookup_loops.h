// The loops of training's lookup stage over flat runs of pixels, each compiled for every instruction set.
#pragma once

#include <cstdint>

namespace lcnn::cpu {

// What one lookup reads, from a run's first place, and by how much it counts.
template <typename T>
struct RunLookup {
  std::int32_t offset;
  T coefficient;
};

// T is float or double. Runs are taken in whole vectors: up to kBeyond (flat_layout.h) values behind them are read, or written.
template <typename T>
struct LookupLoops {
  // to [length] = value + sum over the lookups of coefficient * from[offset + position].
  void (*gather_run)(const RunLookup<T>* lookups, std::int64_t count, T value, const T* from, std::int64_t length, T* to);

  // sums [count] += the dot products of run [length] with from[offset + position]. What is read of the run behind it is zero.
  void (*dot_run)(const RunLookup<T>* lookups, std::int64_t count, const T* run, const T* from, std::int64_t length, double* sums);
};
template <typename T>
LookupLoops<T> lookup_loops();

}  // namespace lcnn::cpu
