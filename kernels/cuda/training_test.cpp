#include "kernels/cuda/training.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/weights_upload.h"
#include "kernels/training_test_support.h"

namespace lcnn::cuda {
namespace {

class DeviceAllocator final : public Allocator {
 public:
  void* allocate(std::int64_t bytes, MemoryKind) override {
    void* pointer = nullptr;
    check(cudaMalloc(&pointer, std::max<std::int64_t>(bytes, 1)), "allocating");
    check(cudaMemset(pointer, 0xFF, std::max<std::int64_t>(bytes, 1)), "poisoning");  // NaN in every element type
    return pointer;
  }
  void release(void* pointer) noexcept override { cudaFree(pointer); }
};

std::string why_no_device() {
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  if (status == cudaSuccess && devices > 0) return {};
  cudaGetLastError();
  return std::string("no CUDA device can be used: ") + cudaGetErrorString(status);
}

template <typename T>
constexpr Precision kPrecision = std::is_same_v<T, __half>          ? Precision::fp16
                                 : std::is_same_v<T, __nv_bfloat16> ? Precision::bf16
                                                                    : Precision::fp32;

template <typename T>
T from_host(float value) {
  if constexpr (std::is_same_v<T, __half>) return __float2half(value);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>) return __float2bfloat16(value);
  else return value;
}
template <typename T>
double to_host(T value) {
  if constexpr (std::is_same_v<T, __half>) return __half2float(value);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>) return __bfloat162float(value);
  else return value;
}

// All of the layer in T on the device: Y and every gradient, into poisoned memory.
template <typename T>
struct Trained {
  std::vector<double> y, grad_x, grad_dictionary, grad_coefficients, grad_bias;

  Trained(const TrainingCase& c, bool deterministic) {
    const LookupProblem& problem = c.test.problem;
    const Buffer x = upload_values(c.x), dictionary = upload_values(c.weights.dictionary), bias = upload_values(c.weights.bias);
    const Buffer coefficients = upload_values(c.weights.lookups.coefficients), grad_y = upload_values(c.grad_y);
    const std::vector<std::int32_t> host_indices = c.indices();
    const Execution copies{.allocator = &allocator_};
    const Buffer offsets = upload(std::span<const std::int32_t>(c.weights.lookups.row_offsets), MemoryKind::weights, copies);
    const Buffer indices = upload(std::span<const std::int32_t>(host_indices), MemoryKind::weights, copies);
    const LookupArrays<T> lookups{offsets.as<std::int32_t>(), indices.as<std::int32_t>(), coefficients.as<T>(),
                                  c.weights.lookups.lookups()};
    const std::int64_t s_elements = problem.dictionary_stage().output_elements();
    const Buffer s = result<T>(s_elements), grad_s = result<T>(s_elements), out = result<T>(c.grad_y.size());
    const Buffer dx = result<T>(c.x.size()), dd = result<Sum<T>>(c.weights.dictionary.size());
    const Buffer dc = result<Sum<T>>(host_indices.size()), db = result<Sum<T>>(c.weights.bias.size());
    const TrainingExecution execution{.allocator = &allocator_, .deterministic = deterministic};
    input_dictionary(problem, x.as<T>(), dictionary.as<T>(), s.as<T>(), execution);
    lookup_output(problem, s.as<T>(), lookups, bias.as<T>(), out.as<T>(), execution);
    input_dictionary_gradient(problem, grad_y.as<T>(), lookups, grad_s.as<T>(), execution);
    coefficient_gradient(problem, grad_y.as<T>(), s.as<T>(), lookups, dc.as<Sum<T>>(), execution);
    bias_gradient(problem, grad_y.as<T>(), db.as<Sum<T>>(), execution);
    input_gradient(problem, grad_s.as<T>(), dictionary.as<T>(), dx.as<T>(), execution);
    dictionary_gradient(problem, grad_s.as<T>(), x.as<T>(), dd.as<Sum<T>>(), execution);
    y = download<T>(out, c.grad_y.size());
    grad_x = download<T>(dx, c.x.size());
    grad_dictionary = download<Sum<T>>(dd, c.weights.dictionary.size());
    grad_coefficients = download<Sum<T>>(dc, host_indices.size());
    grad_bias = download<Sum<T>>(db, c.weights.bias.size());
  }

  bool operator==(const Trained& other) const {
    return y == other.y && grad_x == other.grad_x && grad_dictionary == other.grad_dictionary &&
           grad_coefficients == other.grad_coefficients && grad_bias == other.grad_bias;
  }

 private:
  Buffer upload_values(const std::vector<float>& values) {
    std::vector<T> converted(values.size());
    std::ranges::transform(values, converted.begin(), from_host<T>);
    return upload(std::span<const T>(converted), MemoryKind::weights, {.allocator = &allocator_});
  }
  template <typename R>
  Buffer result(std::size_t elements) {
    // Without bias a result of out_channels is still written: the buffer is never smaller than a block's worth.
    return Buffer(allocator_, static_cast<std::int64_t>(std::max<std::size_t>(elements, 128) * sizeof(R)), MemoryKind::workspace);
  }
  template <typename R>
  std::vector<double> download(const Buffer& buffer, std::size_t elements) {
    std::vector<R> values(elements);
    check(cudaMemcpy(values.data(), buffer.as<void>(), elements * sizeof(R), cudaMemcpyDeviceToHost), "downloading");
    std::vector<double> converted(elements);
    std::ranges::transform(values, converted.begin(), to_host<R>);
    return converted;
  }

  DeviceAllocator allocator_;
};

template <typename T>
class CudaTraining : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string reason = why_no_device(); !reason.empty()) GTEST_SKIP() << reason;
  }
  // Rounding at every store of S, dS and the results; a wrong index costs about 1.
  static constexpr double kTolerance = std::is_same_v<T, double>   ? 1e-12
                                       : std::is_same_v<T, float>  ? 2e-6
                                       : std::is_same_v<T, __half> ? 2e-3
                                                                   : 1.6e-2;

  // Both ways of summing against the definition.
  void expect_definition(const TrainingCase& c) {
    const ExpectedGradients expected = gradients_by_definition(c);
    const std::vector<double> x(c.x.begin(), c.x.end());
    const std::vector<double> reference = reference_lookup_conv2d(c.test.problem, c.weights, x);
    for (const bool deterministic : {false, true}) {
      const Trained<T> found(c, deterministic);
      const std::vector<float> y(found.y.begin(), found.y.end());
      ASSERT_LE(compare(y, reference).rel_err, std::max(kTolerance, 1e-7)) << c.test;
      ASSERT_LE(expected.x.template error_of<double>(found.grad_x), kTolerance) << c.test;
      ASSERT_LE(expected.dictionary.template error_of<double>(found.grad_dictionary), kTolerance) << c.test;
      ASSERT_LE(expected.coefficients.template error_of<double>(found.grad_coefficients), kTolerance) << c.test;
      ASSERT_LE(expected.bias.template error_of<double>(found.grad_bias), kTolerance) << c.test;
    }
  }
};
using StoredTypes = testing::Types<double, float, __half, __nv_bfloat16>;
TYPED_TEST_SUITE(CudaTraining, StoredTypes);

TYPED_TEST(CudaTraining, MatchesTheDefinition) {
  std::vector<TestProblem> problems = training_problems(150);
  for (const TestProblem& test : regular_problems()) problems.push_back(test);
  for (const TestProblem& test : problems) {
    this->expect_definition({test, kPrecision<TypeParam>});
    if (this->HasFatalFailure()) return;
  }
}

// Large enough that every sum is split among blocks.
TYPED_TEST(CudaTraining, SplitSumsAreRightAndDeterministicRunsGiveTheSameBits) {
  const Conv2dProblem conv{.batch = 6, .in_channels = 16, .height = 40, .width = 44, .out_channels = 24,
                           .kernel = {3, 3}, .padding = {1, 1}};
  const TrainingCase c({.problem = {conv, 8, Granularity::vector}, .sparsity = 1.0, .seed = 7}, kPrecision<TypeParam>);
  this->expect_definition(c);
  const Trained<TypeParam> first(c, true);
  for (int run = 0; run < 5; ++run) ASSERT_TRUE(Trained<TypeParam>(c, true) == first) << "run " << run;
}

}  // namespace
}  // namespace lcnn::cuda
