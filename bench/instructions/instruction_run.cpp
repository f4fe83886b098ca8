// Runs one CPU kernel once on one small layer. valgrind counts the instructions between entering and leaving
// counted_run.
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>

#include "kernels/cpu/cpu_variants.h"
#include "kernels/random.h"

namespace lcnn {
namespace {

class HeapAllocator : public Allocator {
 public:
  void* allocate(std::int64_t bytes, MemoryKind) override {
    constexpr std::size_t kAlignment = 256;
    void* const pointer =
        std::aligned_alloc(kAlignment, (static_cast<std::size_t>(bytes) / kAlignment + 1) * kAlignment);
    if (pointer == nullptr) throw std::bad_alloc();
    return pointer;
  }
  void release(void* pointer) noexcept override { std::free(pointer); }
};

// Odd in width, so that tails run, too.
LookupProblem layer(Granularity granularity) {
  const Conv2dProblem conv{
      .in_channels = 32, .height = 28, .width = 29, .out_channels = 48, .kernel = {3, 3}, .padding = {1, 1}};
  return {.conv = conv, .dictionary_size = 16, .granularity = granularity};
}

const Variant* const kVariants[] = {&cpu::naive_sparse, &cpu::shared_tiled, &cpu::precompute_gather,
                                    &cpu::flat_gather,  &cpu::batch_gather};
const std::map<std::string, Granularity> kGranularities{{"vector", Granularity::vector},
                                                        {"filter", Granularity::filter}};

}  // namespace
}  // namespace lcnn

// The two functions that valgrind is told about keep their names and are not inlined. The library's matrix
// product is not ours: counting pauses in it.
extern "C" [[gnu::noinline]] void uncounted_gemm(std::int64_t m, std::int64_t n, std::int64_t k,
                                                 const float* a, std::int64_t a_pitch, const float* b,
                                                 std::int64_t b_pitch, float* c, std::int64_t c_pitch) {
  for (std::int64_t i = 0; i < m; ++i) {
    std::memset(c + i * c_pitch, 0, static_cast<std::size_t>(n) * sizeof(float));
    for (std::int64_t l = 0; l < k; ++l) {
      for (std::int64_t j = 0; j < n; ++j) c[i * c_pitch + j] += a[i * a_pitch + l] * b[l * b_pitch + j];
    }
  }
}

extern "C" [[gnu::noinline]] void counted_run(lcnn::PreparedConvolution& convolution, const float* x,
                                              float* y) {
  convolution.run(x, y, nullptr);
}

int main(int argc, char** argv) {
  using namespace lcnn;
  if (argc != 3) {
    for (const Variant* variant : kVariants) {
      for (const auto& [name, granularity] : kGranularities)
        std::cout << variant->name << ' ' << name << '\n';
    }
    return 0;
  }
  const LookupProblem problem = layer(kGranularities.at(argv[2]));
  const LookupWeights weights = random_weights(problem, 1.0, Precision::fp32, 1);
  std::vector<float> x(problem.conv.input_elements()), y(problem.conv.output_elements());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = random_value(2, i);
  HeapAllocator allocator;
  for (const Variant* variant : kVariants) {
    if (variant->name != argv[1]) continue;
    if (const std::string why = variant->why_unsupported(problem, Precision::fp32, Layout::nchw);
        !why.empty()) {
      std::cerr << why << '\n';
      return 3;
    }
    const auto convolution = variant->prepare(problem, weights, Precision::fp32, Layout::nchw,
                                              {.allocator = &allocator, .host_gemm = uncounted_gemm});
    convolution->run(x.data(), y.data(), nullptr);  // what happens once only is not counted
    counted_run(*convolution, x.data(), y.data());
    return 0;
  }
  return 2;
}
