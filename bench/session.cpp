#include "bench/session.h"

#include <stdexcept>

namespace lcnn::bench {

double MachineLimits::matrix_mac_per_s(Precision precision) const {
  switch (precision) {
    case Precision::fp32: return fma_per_s;
    case Precision::tf32: return tf32_mac_per_s;
    case Precision::fp16: return fp16_mac_per_s;
    case Precision::bf16: return bf16_mac_per_s;
  }
  return 0;
}

std::unique_ptr<Session> Session::open(Device device, int threads) {
  if (device == Device::cpu) return detail::open_cpu_session(threads);
#if LCNN_HAS_CUDA
  return detail::open_cuda_session();
#else
  throw std::runtime_error(why_no_cuda());
#endif
}

}  // namespace lcnn::bench
