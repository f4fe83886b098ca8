#include "bench/fma_chains.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/fma_chains.cpp"
#include "kernels/cpu/simd_dispatch.h"
// After simd_dispatch.h: its own instruction set for each inclusion.
#include "kernels/cpu/lanes.h"

HWY_BEFORE_NAMESPACE();
namespace lcnn::cpu::HWY_NAMESPACE {

double fma_chains(std::int64_t rounds) {
  constexpr int kChains = 12;
  volatile float seed = 0.999f;
  const auto factor = simd::broadcast<float>(seed);
  simd::Lanes<float> sums[kChains];
  for (auto& sum : sums) sum = factor;
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (auto& sum : sums) sum = simd::multiply_add(sum, factor, factor);
  }
  for (const auto& sum : sums) {
    float kept[simd::kLanes<float>];
    simd::store(kept, sum);
    seed = kept[0];
  }
  return static_cast<double>(rounds) * kChains * simd::kLanes<float>;
}

}  // namespace lcnn::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lcnn::cpu {
HWY_EXPORT(fma_chains);
}

double lcnn::bench::run_fma_chains(std::int64_t rounds) {
  using namespace lcnn::cpu;
  return HWY_DYNAMIC_DISPATCH(fma_chains)(rounds);
}
#endif
