// S = D X for one warp's tile, on the matrix units. Compiled by nvcc for the dictionary kernel and, as text, by NVRTC
// into fused kernels: it includes nothing.
//
// Tile:    kLoads * 8 groups of kVector consecutive positions x kEntryTiles * 16 dictionary entries.
// Load:    each lane loads kVector positions of one channel at once, straight from X, in memory or in shared memory, into registers, for kLoads groups that
//          are 8 apart; which channels of
//          the product's inner index a lane holds is free, because D is packed in the same order.
// Compute: mma m16n8k16 (fp16, bf16) or m16n8k8 (tf32), fp32 sums. Strict fp32 splits X and D into two tf32 terms each and
//          adds three products (hi hi, hi lo, lo hi); the matrix units truncate their sums, so every kPromoteSteps steps
//          they are added to sums of our own, which keeps the error at fp32's level whatever the channel count.
#pragma once

namespace lcnn_device {

using u16 = unsigned short;
using i64 = long long;

constexpr int kGroups = 8;        // groups of positions side by side in a tile: the mma's n
constexpr int kPromoteSteps = 4;  // mma steps of 8 channels that strict fp32 sums in the matrix units

// What the matrix units multiply, and how its elements are stored.
struct Half {
  using Element = u16;
  static constexpr int kStepChannels = 16, kTerms = 1;
  static __device__ float load(u16 bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
  }
  static __device__ u16 store(float value) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
  }
  static __device__ unsigned store_pair(float low, float high) {
    unsigned bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
  }
  static __device__ unsigned round_pair(float low, float high) { return store_pair(low, high); }
  static __device__ void mma(float (&d)[4], const uint4& a, unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
  }
  // a b + c of pairs.
  static __device__ unsigned multiply_add(unsigned a, unsigned b, unsigned c) {
    unsigned sums;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(sums) : "r"(a), "r"(b), "r"(c));
    return sums;
  }
};

struct Bfloat {
  using Element = u16;
  static constexpr int kStepChannels = 16, kTerms = 1;
  static __device__ float load(u16 bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }
  static __device__ u16 store(float value) {
    u16 bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
  }
  static __device__ unsigned store_pair(float low, float high) {
    unsigned bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
  }
  static __device__ unsigned round_pair(float low, float high) { return store_pair(low, high); }
  static __device__ void mma(float (&d)[4], const uint4& a, unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
  }
  static __device__ unsigned multiply_add(unsigned a, unsigned b, unsigned c) {
    unsigned sums;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sums) : "r"(a), "r"(b), "r"(c));
    return sums;
  }
};

struct Tf32 {
  using Element = float;
  static constexpr int kStepChannels = 8, kTerms = 1;
  static __device__ float load(float value) { return value; }
  static __device__ float store(float value) { return value; }
  static __device__ unsigned round(float value) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
    return rounded;
  }
  static __device__ uint2 store_pair(float low, float high) { return make_uint2(__float_as_uint(low), __float_as_uint(high)); }
  static __device__ uint2 round_pair(float low, float high) { return make_uint2(round(low), round(high)); }
  static __device__ void mma(float (&d)[4], const uint4& a, unsigned b0, unsigned b1) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
  }
};

struct Strict : Tf32 {  // fp32 as two tf32 terms
  static constexpr int kTerms = 2;
};

template <int kBytes> struct Word;
template <> struct Word<2> { using Type = u16; };
template <> struct Word<4> { using Type = unsigned; };
template <> struct Word<8> { using Type = uint2; };
template <> struct Word<16> { using Type = uint4; };

// kVector elements that are moved as one word.
template <typename T, int kVector>
union Vector {
  typename Word<sizeof(T) * kVector>::Type word;
  T values[kVector];
  __device__ Vector() {}
};

// Where multiply() reads its operands.
struct GlobalMemory {
  template <typename T>
  static __device__ T load(const T* address) { return __ldg(address); }
};
struct SharedMemory {
  template <typename T>
  static __device__ T load(const T* address) { return *address; }
};

// Neighbouring floats, in words of up to 16 bytes.
template <int kCount>
__device__ __forceinline__ void store_floats(float* out, const float (&values)[kCount]) {
  constexpr int kStore = kCount < 4 ? kCount : 4;
#pragma unroll
  for (int first = 0; first < kCount; first += kStore) {
    Vector<float, kStore> stored;
#pragma unroll
    for (int i = 0; i < kStore; ++i) stored.values[i] = values[first + i];
    *reinterpret_cast<decltype(stored.word)*>(out + first) = stored.word;
  }
}

// partial += D x loaded for one mma step, one position of each group.
template <typename Math, int kVector>
__device__ void multiply_position(float (&sums)[4], const uint4 (&a)[Math::kTerms],
                                  const Vector<typename Math::Element, kVector> (&loaded)[Math::kStepChannels / 4], int v) {
  if constexpr (Math::kTerms == 2) {
    unsigned high[2], low[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      high[i] = Math::round(loaded[i].values[v]);
      low[i] = Math::round(loaded[i].values[v] - __uint_as_float(high[i]));
    }
    Math::mma(sums, a[0], low[0], low[1]);
    Math::mma(sums, a[1], high[0], high[1]);
    Math::mma(sums, a[0], high[0], high[1]);
  } else if constexpr (Math::kStepChannels == 8) {
    Math::mma(sums, a[0], Math::round(loaded[0].values[v]), Math::round(loaded[1].values[v]));
  } else {
    Math::mma(sums, a[0], loaded[0].values[v] | static_cast<unsigned>(loaded[1].values[v]) << 16,
              loaded[2].values[v] | static_cast<unsigned>(loaded[3].values[v]) << 16);
  }
}

// sums [entry tile][position][mma accumulator] += D X over mma steps first, first + stride, ... of `channels`; a lane's
// positions are those of its first group, then of its second, ... `x` points to this lane's groups (lane / 4, and every 8
// further) in channel 0, channels are `plane` elements apart; `inside` is whether they exist. `dictionary` is D packed as
// [step][entry tile][term][lane]; the tile's first entry tile is `first_tile`.
template <typename Math, int kEntryTiles, int kLoads, int kVector, typename Memory = GlobalMemory, typename DictionaryMemory = GlobalMemory>
__device__ void multiply(const typename Math::Element* const (&x)[kLoads], const bool (&inside)[kLoads], int channels,
                         int plane, const uint4* dictionary, int entry_tiles, int first_tile, int first, int stride,
                         float (&sums)[kEntryTiles][kLoads * kVector][4]) {
  constexpr int kLaneChannels = Math::kStepChannels / 4;
  using Loaded = Vector<typename Math::Element, kVector>;
  const int lane = threadIdx.x % 32, steps = (channels + Math::kStepChannels - 1) / Math::kStepChannels;
  float partial[kEntryTiles][kLoads * kVector][4] = {};
  int promote = 0;
#pragma unroll 2
  for (int step = first; step < steps; step += stride) {
    Loaded loaded[kLoads][kLaneChannels];
#pragma unroll
    for (int l = 0; l < kLoads; ++l) {
#pragma unroll
      for (int i = 0; i < kLaneChannels; ++i) {
        const int channel = step * Math::kStepChannels + lane % 4 * kLaneChannels + i;
        if (inside[l] && channel < channels) {
          loaded[l][i].word =
              Memory::load(reinterpret_cast<const decltype(loaded[l][i].word)*>(x[l] + static_cast<i64>(channel) * plane));
        } else {
          loaded[l][i].word = {};
        }
      }
    }
    uint4 a[kEntryTiles][Math::kTerms];
#pragma unroll
    for (int m = 0; m < kEntryTiles; ++m) {
      const i64 tile = static_cast<i64>(step) * entry_tiles + min(first_tile + m, entry_tiles - 1);
#pragma unroll
      for (int term = 0; term < Math::kTerms; ++term) a[m][term] = DictionaryMemory::load(dictionary + (tile * Math::kTerms + term) * 32 + lane);
    }
#pragma unroll
    for (int p = 0; p < kLoads * kVector; ++p) {
#pragma unroll
      for (int m = 0; m < kEntryTiles; ++m) {
        multiply_position<Math, kVector>(Math::kTerms == 2 ? partial[m][p] : sums[m][p], a[m], loaded[p / kVector], p % kVector);
      }
    }
    if constexpr (Math::kTerms == 2) {
      if (++promote < kPromoteSteps && step + stride < steps) continue;
      promote = 0;
#pragma unroll
      for (int m = 0; m < kEntryTiles; ++m) {
#pragma unroll
        for (int p = 0; p < kLoads * kVector; ++p) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[m][p][i] += partial[m][p][i];
            partial[m][p][i] = 0.0f;
          }
        }
      }
    }
  }
}

// Where accumulator i of a lane belongs: entry (of 16) and group (of kGroups).
__device__ inline int accumulator_entry(int i) { return threadIdx.x % 32 / 4 + i / 2 * 8; }
__device__ inline int accumulator_group(int i) { return threadIdx.x % 4 * 2 + i % 2; }

// Lets the kernel behind this one on the stream get ready, and waits for the one in front of this one.
__device__ inline void let_next_kernel_begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace lcnn_device
