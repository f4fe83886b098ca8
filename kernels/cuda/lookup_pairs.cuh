// Lookups as data in shared memory: text for NVRTC, behind dictionary_tile.cuh.
namespace lcnn_device {

// 16 bytes from memory to shared memory, without registers on the way; they are there behind finish_copies().
__device__ __forceinline__ void copy_word(uint4* to, const uint4* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from) : "memory");
}
__device__ __forceinline__ void finish_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// sums += coefficient * S at `place`, in bytes from the pixel, and every kRowStep elements further; S is Math's elements.
template <typename Math, int kRowStep, int kPixels>
__device__ __forceinline__ void add_lookup(const char* pixel, int place, float coefficient, float (&sums)[kPixels]) {
  const auto* s = reinterpret_cast<const typename Math::Element*>(pixel + place);
#pragma unroll
  for (int p = 0; p < kPixels; ++p) sums[p] = fmaf(coefficient, Math::load(s[p * kRowStep]), sums[p]);
}

// Both lookups of a pair: where in the tile and by how much, twice.
template <typename Math, int kRowStep, int kPixels>
__device__ __forceinline__ void add_pair(const char* pixel, const uint4& pair, float (&sums)[kPixels]) {
  add_lookup<Math, kRowStep>(pixel, pair.x, __uint_as_float(pair.y), sums);
  add_lookup<Math, kRowStep>(pixel, pair.z, __uint_as_float(pair.w), sums);
}

}  // namespace lcnn_device
