// lcnn::lookup_conv2d and lcnn::lookup_filters on CUDA: kernels/cuda/training.h over tensors, on LibTorch's current stream.
#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/cuda/training.h"
#include "variants/lookup_conv2d_backends.h"

namespace lcnn {
namespace {

// Workspace as tensors of the caching allocator: given back when the call ends, reused in the stream's order.
class TensorAllocator final : public Allocator {
 public:
  explicit TensorAllocator(const at::Tensor& like) : options_(like.options().dtype(at::kByte)) {}
  void* allocate(std::int64_t bytes, MemoryKind) override {
    tensors_.push_back(at::empty({std::max<std::int64_t>(bytes, 1)}, options_));
    return tensors_.back().mutable_data_ptr();
  }
  void release(void*) noexcept override {}

 private:
  at::TensorOptions options_;
  std::vector<at::Tensor> tensors_;
};

// LibTorch's element types as the kernels name them.
template <typename T>
struct DeviceType {
  using Type = T;
};
template <>
struct DeviceType<at::Half> {
  using Type = __half;
};
template <>
struct DeviceType<at::BFloat16> {
  using Type = __nv_bfloat16;
};

template <typename T>
const T* read(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<const T*>(tensor.const_data_ptr()) : nullptr;
}
template <typename T>
T* write(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

template <typename Function>
void for_element_type(const at::Tensor& tensor, const Function& function) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, tensor.scalar_type(), "lookup_conv2d",
                                  [&] { function(typename DeviceType<scalar_t>::Type{}); });
}

// What one call runs with: the tensors' device, and the current stream.
struct Call {
  c10::cuda::CUDAGuard device;
  TensorAllocator allocator;
  cuda::TrainingExecution execution;

  explicit Call(const at::Tensor& tensor)
      : device(tensor.device()),
        allocator(tensor),
        execution{.allocator = &allocator,
                  .stream = c10::cuda::getCurrentCUDAStream().stream(),
                  .deterministic = at::globalContext().deterministicAlgorithms()} {}
};

// P in contiguous memory.
struct Table {
  at::Tensor offsets, indices, coefficients;

  template <typename Operands>
  explicit Table(const Operands& operands)
      : offsets(operands.offsets.contiguous()), indices(operands.indices.contiguous()), coefficients(operands.coefficients.contiguous()) {}

  template <typename T>
  LookupArrays<T> arrays() const {
    return {offsets.const_data_ptr<std::int32_t>(), indices.const_data_ptr<std::int32_t>(), read<T>(coefficients),
            indices.numel()};
  }
};

// What sums are kept in.
at::TensorOptions sum_options(const at::Tensor& tensor) {
  return tensor.options().dtype(tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> lookup_forward_cuda(const LookupProblem& problem, const LookupOperands& operands,
                                                       const std::optional<at::Tensor>& bias) {
  const Call call(operands.input);
  const Table table(operands);
  const at::Tensor x = operands.input.contiguous(), dictionary = operands.dictionary.contiguous();
  const at::Tensor b = has_tensor(bias) ? bias->contiguous() : at::Tensor();
  const at::Tensor s = at::empty(input_dictionary_sizes(problem), x.options());
  const at::Tensor y = at::empty(output_sizes(problem), x.options());
  for_element_type(x, [&]<typename T>(T) {
    cuda::input_dictionary(problem, read<T>(x), read<T>(dictionary), write<T>(s), call.execution);
    cuda::lookup_output(problem, read<T>(s), table.arrays<T>(), read<T>(b), write<T>(y), call.execution);
  });
  return {y, s};
}

LookupGradients lookup_backward_cuda(const LookupProblem& problem, const LookupOperands& operands,
                                     const at::Tensor& grad_output, const at::Tensor& input_dictionary, GradientMask mask) {
  const auto [wants_input, wants_dictionary, wants_coefficients, wants_bias] = mask;
  const Call call(operands.input);
  const Table table(operands);
  const at::Tensor x = operands.input.contiguous(), dictionary = operands.dictionary.contiguous();
  const at::Tensor dy = grad_output.contiguous(), s = input_dictionary.contiguous();
  const at::TensorOptions sums = sum_options(dy);
  at::Tensor dx, dd, dc, db;
  for_element_type(dy, [&]<typename T>(T) {
    using Sum = cuda::Sum<T>;
    if (wants_coefficients) {
      dc = at::empty(table.coefficients.sizes(), sums);
      cuda::coefficient_gradient(problem, read<T>(dy), read<T>(s), table.arrays<T>(), write<Sum>(dc), call.execution);
    }
    if (wants_bias) {
      db = at::empty({problem.conv.out_channels}, sums);
      cuda::bias_gradient(problem, read<T>(dy), write<Sum>(db), call.execution);
    }
    if (!wants_input && !wants_dictionary) return;
    const at::Tensor ds = at::empty_like(s);
    cuda::input_dictionary_gradient(problem, read<T>(dy), table.arrays<T>(), write<T>(ds), call.execution);
    if (wants_input) {
      dx = at::empty(x.sizes(), x.options());
      cuda::input_gradient(problem, read<T>(ds), read<T>(dictionary), write<T>(dx), call.execution);
    }
    if (wants_dictionary) {
      dd = at::empty(dictionary.sizes(), sums);
      cuda::dictionary_gradient(problem, read<T>(ds), read<T>(x), write<Sum>(dd), call.execution);
    }
  });
  return {dx, stored_as(x, dd), stored_as(x, dc), stored_as(x, db)};
}

namespace {

// Calls function(T{}, F{}) for parameters in T and filters in F.
template <typename Function>
void for_filter_types(const at::Tensor& parameters, at::ScalarType filters, const Function& function) {
  for_element_type(parameters, [&]<typename T>(T) {
    if constexpr (std::is_same_v<T, float>) {
      if (filters == at::kHalf) return function(T{}, __half{});
      if (filters == at::kBFloat16) return function(T{}, __nv_bfloat16{});
    }
    function(T{}, T{});
  });
}

}  // namespace

at::Tensor filters_cuda(const FilterOperands& operands, at::ScalarType type) {
  const Call call(operands.dictionary);
  const Table table(operands);
  const at::Tensor dictionary = operands.dictionary.contiguous();
  const FilterMatrix matrix = operands.matrix();
  const at::Tensor filters = at::empty({matrix.rows, matrix.columns}, dictionary.options().dtype(type));
  for_filter_types(dictionary, type, [&]<typename T, typename F>(T, F) {
    cuda::filters(matrix, read<T>(dictionary), table.arrays<T>(), write<F>(filters), call.execution);
  });
  return filters;
}

FilterGradients filters_backward_cuda(const FilterOperands& operands, const at::Tensor& grad_filters, std::array<bool, 2> mask) {
  const auto [wants_dictionary, wants_coefficients] = mask;
  const Call call(operands.dictionary);
  const Table table(operands);
  const at::Tensor dw = grad_filters.contiguous(), dictionary = operands.dictionary.contiguous();
  const at::Tensor entry_offsets = operands.entry_offsets.contiguous(), rows = operands.entry_rows.contiguous();
  const at::Tensor order = operands.entry_order.contiguous();
  const FilterMatrix matrix = operands.matrix();
  at::Tensor dd, dc;
  for_filter_types(dictionary, dw.scalar_type(), [&]<typename T, typename F>(T, F) {
    using Sum = cuda::Sum<T>;
    if (wants_dictionary) {
      dd = at::empty(dictionary.sizes(), sum_options(dictionary));
      const TransposedLookups by_entry{read<std::int32_t>(entry_offsets), read<std::int32_t>(rows), read<std::int32_t>(order)};
      cuda::filter_dictionary_gradient(matrix, read<F>(dw), by_entry, read<T>(table.coefficients), table.coefficients.numel(), write<Sum>(dd),
                                       call.execution);
    }
    if (wants_coefficients) {
      dc = at::empty(table.coefficients.sizes(), sum_options(dictionary));
      cuda::filter_coefficient_gradient(matrix, read<F>(dw), read<T>(dictionary), table.arrays<T>(), write<Sum>(dc), call.execution);
    }
  });
  return {stored_as(dictionary, dd), stored_as(dictionary, dc)};
}

}  // namespace lcnn
