#include "kernels/cpu/lookup_loops.h"

#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lookup_loops.cpp"
#include "kernels/cpu/simd_dispatch.h"
// After simd_dispatch.h: its own instruction set for each inclusion.
#include "kernels/cpu/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace lcnn::cpu::HWY_NAMESPACE {
namespace {

// Vectors of a run whose sums are in registers together: they share a lookup's coefficient and its turn of the loop.
constexpr int kRunVectors = 8;
// Lookups whose dot products are in registers together: they share the loads of the run.
constexpr int kDotLookups = 8;

// The sums of kVectors vectors. Bound: one load, rarely aligned, for a multiply-add.
template <int kVectors, typename T>
HWY_INLINE void gather_vectors(const RunLookup<T>* lookups, std::int64_t count, T value, const T* from, T* to) {
  constexpr int lanes = simd::kLanes<T>;
  simd::Lanes<T> sums[kVectors];
  for (auto& sum : sums) sum = simd::broadcast(value);
  for (const RunLookup<T>* lookup = lookups; lookup < lookups + count; ++lookup) {
    const auto coefficient = simd::broadcast(lookup->coefficient);
    const T* values = from + lookup->offset;
    for (int v = 0; v < kVectors; ++v) sums[v] = simd::multiply_add(coefficient, simd::load(values + v * lanes), sums[v]);
  }
  for (int v = 0; v < kVectors; ++v) simd::store(to + v * lanes, sums[v]);
}

template <typename T>
void gather_run(const RunLookup<T>* lookups, std::int64_t count, T value, const T* from, std::int64_t length, T* to) {
  constexpr int lanes = simd::kLanes<T>;
  const std::int64_t vectors = (length + lanes - 1) / lanes, blocks = (vectors + kRunVectors - 1) / kRunVectors;
  for (std::int64_t block = 0; block < blocks; ++block) {  // of about even sizes
    const std::int64_t first = vectors * block / blocks, last = vectors * (block + 1) / blocks;
    simd::with_vectors<kRunVectors>(last - first, [&](auto size) HWY_ATTR {
      gather_vectors<size()>(lookups, count, value, from + first * lanes, to + first * lanes);
    });
  }
}

template <typename T>
HWY_INLINE double sum_of(simd::Lanes<T> values) {
  constexpr int lanes = simd::kLanes<T>;
  T in_lanes[lanes];
  simd::store(in_lanes, values);
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) in_lanes[lane] += in_lanes[lane + half];
  }
  return in_lanes[0];
}

template <int kCount, typename T>
HWY_INLINE void dot_lookups(const RunLookup<T>* lookups, const T* run, const T* from, std::int64_t length, double* sums) {
  const T* values[kCount];
  simd::Lanes<T> products[kCount];
  for (int i = 0; i < kCount; ++i) {
    values[i] = from + lookups[i].offset;
    products[i] = simd::broadcast(T(0));
  }
  for (std::int64_t p = 0; p < length; p += simd::kLanes<T>) {
    const auto pixels = simd::load(run + p);
    for (int i = 0; i < kCount; ++i) products[i] = simd::multiply_add(pixels, simd::load(values[i] + p), products[i]);
  }
  for (int i = 0; i < kCount; ++i) sums[i] += sum_of<T>(products[i]);
}

template <typename T>
void dot_run(const RunLookup<T>* lookups, std::int64_t count, const T* run, const T* from, std::int64_t length, double* sums) {
  std::int64_t i = 0;
  for (; i + kDotLookups <= count; i += kDotLookups) dot_lookups<kDotLookups>(lookups + i, run, from, length, sums + i);
  for (; i < count; ++i) dot_lookups<1>(lookups + i, run, from, length, sums + i);
}

}  // namespace

// HWY_EXPORT takes no templates.
LookupLoops<float> lookup_loops_of_float() { return {gather_run<float>, dot_run<float>}; }
LookupLoops<double> lookup_loops_of_double() { return {gather_run<double>, dot_run<double>}; }

}  // namespace lcnn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcnn::cpu {

HWY_EXPORT(lookup_loops_of_float);
HWY_EXPORT(lookup_loops_of_double);

template <>
LookupLoops<float> lookup_loops() {
  return HWY_DYNAMIC_DISPATCH(lookup_loops_of_float)();
}
template <>
LookupLoops<double> lookup_loops() {
  return HWY_DYNAMIC_DISPATCH(lookup_loops_of_double)();
}

}  // namespace lcnn::cpu
#endif
