// Counter-based random numbers: the same value for the same (seed, index) on the CPU and on the GPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define LCNN_HOST_DEVICE __host__ __device__
#else
#define LCNN_HOST_DEVICE
#endif

namespace lcnn {

// SplitMix64's output function (Steele, Lea, Flood 2014) over a counter.
LCNN_HOST_DEVICE inline std::uint64_t random_bits(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed * 0xD1342543DE82EF95ull + (index + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// Uniform in [0, 1).
LCNN_HOST_DEVICE inline float random_unit(std::uint64_t seed, std::uint64_t index) {
  return static_cast<float>(random_bits(seed, index) >> 40) * 0x1p-24f;
}

// Mean 0 and variance 1, uniform in [-sqrt(3), sqrt(3)): activations and weights of every benchmark and test.
LCNN_HOST_DEVICE inline float random_value(std::uint64_t seed, std::uint64_t index) {
  return (random_unit(seed, index) - 0.5f) * 3.4641016f;
}

}  // namespace lcnn
