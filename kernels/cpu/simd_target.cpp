#include "kernels/cpu/simd_target.h"

#if LCNN_HAS_HIGHWAY
#include <hwy/targets.h>

#include <bit>
#endif

namespace lcnn::cpu {

#if LCNN_HAS_HIGHWAY

std::string simd_target() {
  const std::int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;  // the lowest bit is the best one
  return hwy::TargetName(usable & -usable);
}

void with_each_simd_target(const std::function<void()>& function) {
  const auto choose = [](std::int64_t targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  };
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    choose(target);
    function();
  }
  choose(0);
}

#else

std::string simd_target() {
#if defined(__AVX512F__)
  return "AVX-512, compiled in";
#elif defined(__AVX__)
  return "AVX, compiled in";
#else
  return "128-bit vectors, compiled in";
#endif
}

void with_each_simd_target(const std::function<void()>& function) { function(); }

#endif

}  // namespace lcnn::cpu
