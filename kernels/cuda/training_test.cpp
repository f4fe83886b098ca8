#include "kernels/cuda/training.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
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

// Host values in T on the device, and back.
template <typename T>
class Arrays {
 public:
  Buffer upload_values(const std::vector<float>& values) {
    std::vector<T> converted(values.size());
    std::ranges::transform(values, converted.begin(), from_host<T>);
    return upload(std::span<const T>(converted), MemoryKind::weights, {.allocator = &allocator_});
  }
  Buffer upload_integers(const std::vector<std::int32_t>& values) {
    return upload(std::span<const std::int32_t>(values), MemoryKind::weights, {.allocator = &allocator_});
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
  TrainingExecution execution(bool deterministic) { return {.allocator = &allocator_, .deterministic = deterministic}; }

 private:
  DeviceAllocator allocator_;
};

// All of the layer in T on the device: Y and every gradient, into poisoned memory.
template <typename T>
struct Trained {
  std::vector<double> y, grad_x, grad_dictionary, grad_coefficients, grad_bias;

  Trained(const TrainingCase& c, bool deterministic) {
    const LookupProblem& problem = c.test.problem;
    Arrays<T> arrays;
    const Buffer x = arrays.upload_values(c.x), dictionary = arrays.upload_values(c.weights.dictionary), bias = arrays.upload_values(c.weights.bias);
    const Buffer coefficients = arrays.upload_values(c.weights.lookups.coefficients), grad_y = arrays.upload_values(c.grad_y);
    const std::vector<std::int32_t> host_indices = c.indices();
    const Buffer offsets = arrays.upload_integers(c.weights.lookups.row_offsets), indices = arrays.upload_integers(host_indices);
    const LookupArrays<T> lookups{offsets.as<std::int32_t>(), indices.as<std::int32_t>(), coefficients.as<T>(),
                                  c.weights.lookups.lookups()};
    const std::int64_t s_elements = problem.dictionary_stage().output_elements();
    const Buffer s = arrays.template result<T>(s_elements), grad_s = arrays.template result<T>(s_elements), out = arrays.template result<T>(c.grad_y.size());
    const Buffer dx = arrays.template result<T>(c.x.size()), dd = arrays.template result<Sum<T>>(c.weights.dictionary.size());
    const Buffer dc = arrays.template result<Sum<T>>(host_indices.size()), db = arrays.template result<Sum<T>>(c.weights.bias.size());
    const TrainingExecution execution = arrays.execution(deterministic);
    input_dictionary(problem, x.as<T>(), dictionary.as<T>(), s.as<T>(), execution);
    lookup_output(problem, s.as<T>(), lookups, bias.as<T>(), out.as<T>(), execution);
    input_dictionary_gradient(problem, grad_y.as<T>(), lookups, grad_s.as<T>(), execution);
    coefficient_gradient(problem, grad_y.as<T>(), s.as<T>(), lookups, dc.as<Sum<T>>(), execution);
    bias_gradient(problem, grad_y.as<T>(), db.as<Sum<T>>(), execution);
    input_gradient(problem, grad_s.as<T>(), dictionary.as<T>(), dx.as<T>(), execution);
    dictionary_gradient(problem, grad_s.as<T>(), x.as<T>(), dd.as<Sum<T>>(), execution);
    y = arrays.template download<T>(out, c.grad_y.size());
    grad_x = arrays.template download<T>(dx, c.x.size());
    grad_dictionary = arrays.template download<Sum<T>>(dd, c.weights.dictionary.size());
    grad_coefficients = arrays.template download<Sum<T>>(dc, host_indices.size());
    grad_bias = arrays.template download<Sum<T>>(db, c.weights.bias.size());
  }

  bool operator==(const Trained&) const = default;
};

// P of a case by dictionary entry.
struct Transposed {
  std::vector<std::int32_t> entry_offsets{0}, rows, order;

  explicit Transposed(const FilterCase& c) {
    const LookupTable& table = c.weights.lookups;
    for (std::int32_t e = 0; e < c.matrix.dictionary_size; ++e) {
      for (std::int32_t row = 0; row < c.matrix.rows; ++row) {
        for (std::int32_t i = table.row_offsets[row]; i < table.row_offsets[row + 1]; ++i) {
          if (static_cast<std::int32_t>(table.indices[i]) != e) continue;
          rows.push_back(row);
          order.push_back(i);
        }
      }
      entry_offsets.push_back(static_cast<std::int32_t>(rows.size()));
    }
  }
};

// The filters in F of a case in T on the device, and their gradients, into poisoned memory.
template <typename T, typename F>
struct TrainedFilters {
  std::vector<double> filters, grad_dictionary, grad_coefficients;

  TrainedFilters(const FilterCase& c, bool deterministic) {
    Arrays<T> arrays;
    Arrays<F> filter_arrays;
    const Buffer dictionary = arrays.upload_values(c.weights.dictionary), grad_filters = filter_arrays.upload_values(c.grad_filters);
    const Buffer coefficients = arrays.upload_values(c.weights.lookups.coefficients);
    const Buffer offsets = arrays.upload_integers(c.weights.lookups.row_offsets), indices = arrays.upload_integers(c.indices());
    const std::int64_t lookup_count = c.weights.lookups.lookups();
    const LookupArrays<T> lookups{offsets.as<std::int32_t>(), indices.as<std::int32_t>(), coefficients.as<T>(), lookup_count};
    const Transposed transposed(c);
    const Buffer entry_offsets = arrays.upload_integers(transposed.entry_offsets), rows = arrays.upload_integers(transposed.rows);
    const Buffer order = arrays.upload_integers(transposed.order);
    const TransposedLookups by_entry{entry_offsets.as<std::int32_t>(), rows.as<std::int32_t>(), order.as<std::int32_t>()};
    const Buffer w = filter_arrays.template result<F>(c.grad_filters.size());
    const Buffer dd = arrays.template result<Sum<T>>(c.weights.dictionary.size()), dc = arrays.template result<Sum<T>>(lookup_count);
    const TrainingExecution execution = arrays.execution(deterministic);
    cuda::filters(c.matrix, dictionary.as<T>(), lookups, w.as<F>(), execution);
    filter_coefficient_gradient(c.matrix, grad_filters.as<F>(), dictionary.as<T>(), lookups, dc.as<Sum<T>>(), execution);
    filter_dictionary_gradient(c.matrix, grad_filters.as<F>(), by_entry, coefficients.as<T>(), lookup_count, dd.as<Sum<T>>(), execution);
    filters = filter_arrays.template download<F>(w, c.grad_filters.size());
    grad_dictionary = arrays.template download<Sum<T>>(dd, c.weights.dictionary.size());
    grad_coefficients = arrays.template download<Sum<T>>(dc, lookup_count);
  }

  bool operator==(const TrainedFilters&) const = default;
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

  // Of parameters in P: T, or float where T is narrower.
  template <typename P = T>
  void expect_filters(const FilterCase& c) {
    if constexpr (sizeof(P) == 2) expect_filters<float>(c);
    const ExpectedFilters expected = filters_by_definition(c);
    for (const bool deterministic : {false, true}) {
      const TrainedFilters<P, T> found(c, deterministic);
      ASSERT_LE(expected.filters.template error_of<double>(found.filters), kTolerance) << c.test;
      ASSERT_LE(expected.dictionary.template error_of<double>(found.grad_dictionary), kTolerance) << c.test;
      ASSERT_LE(expected.coefficients.template error_of<double>(found.grad_coefficients), kTolerance) << c.test;
    }
  }

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

TYPED_TEST(CudaTraining, FiltersMatchTheDefinition) {
  std::vector<TestProblem> problems = regular_problems();
  for (std::uint64_t seed = 0; seed < 200; ++seed) problems.push_back(random_problem(seed));
  for (const TestProblem& test : problems) {
    this->expect_filters({test, kPrecision<TypeParam>});
    if (this->HasFatalFailure()) return;
  }
}

// A dictionary of few entries, whose lists are long, next to one whose rows are more than a grid's y and z can count.
TYPED_TEST(CudaTraining, FiltersOfLongListsAreRightAndDeterministicRunsGiveTheSameBits) {
  for (const auto& [in_channels, out_channels, dictionary_size] : {std::tuple(3, 96, 3), {16, 640, 40}}) {
    const Conv2dProblem conv{.in_channels = in_channels, .height = 11, .width = 11, .out_channels = out_channels, .kernel = {11, 11}};
    const FilterCase c({.problem = {conv, dictionary_size, Granularity::vector}, .sparsity = 1.0, .seed = 7}, kPrecision<TypeParam>);
    this->expect_filters(c);
    if (this->HasFatalFailure()) return;
    using Filters = TrainedFilters<TypeParam, TypeParam>;
    const Filters first(c, true);
    for (int run = 0; run < 3; ++run) ASSERT_TRUE(Filters(c, true) == first) << "run " << run;
  }
}

}  // namespace
}  // namespace lcnn::cuda
