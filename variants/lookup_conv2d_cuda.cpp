// lcnn::lookup_conv2d on CUDA: kernels/cuda/training.h over tensors, on LibTorch's current stream.
#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
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

// What one call runs with: the operands' device, contiguous operands, the current stream.
struct Call {
  c10::cuda::CUDAGuard device;
  at::Tensor x, dictionary, offsets, indices, coefficients;
  TensorAllocator allocator;
  cuda::TrainingExecution execution;

  explicit Call(const LookupOperands& operands)
      : device(operands.input.device()),
        x(operands.input.contiguous()),
        dictionary(operands.dictionary.contiguous()),
        offsets(operands.offsets.contiguous()),
        indices(operands.indices.contiguous()),
        coefficients(operands.coefficients.contiguous()),
        allocator(x),
        execution{.allocator = &allocator,
                  .stream = c10::cuda::getCurrentCUDAStream().stream(),
                  .deterministic = at::globalContext().deterministicAlgorithms()} {}

  template <typename T>
  LookupArrays<T> lookups() const {
    return {offsets.const_data_ptr<std::int32_t>(), indices.const_data_ptr<std::int32_t>(), read<T>(coefficients),
            indices.numel()};
  }
};

}  // namespace

std::tuple<at::Tensor, at::Tensor> lookup_forward_cuda(const LookupProblem& problem, const LookupOperands& operands,
                                                       const std::optional<at::Tensor>& bias) {
  const Call call(operands);
  const at::Tensor b = has_tensor(bias) ? bias->contiguous() : at::Tensor();
  const at::Tensor s = at::empty(input_dictionary_sizes(problem), call.x.options());
  const at::Tensor y = at::empty(output_sizes(problem), call.x.options());
  for_element_type(call.x, [&]<typename T>(T) {
    cuda::input_dictionary(problem, read<T>(call.x), read<T>(call.dictionary), write<T>(s), call.execution);
    cuda::lookup_output(problem, read<T>(s), call.lookups<T>(), read<T>(b), write<T>(y), call.execution);
  });
  return {y, s};
}

LookupGradients lookup_backward_cuda(const LookupProblem& problem, const LookupOperands& operands,
                                     const at::Tensor& grad_output, const at::Tensor& input_dictionary, GradientMask mask) {
  const auto [wants_input, wants_dictionary, wants_coefficients, wants_bias] = mask;
  const Call call(operands);
  const at::Tensor dy = grad_output.contiguous(), s = input_dictionary.contiguous();
  const at::TensorOptions sums = dy.options().dtype(dy.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  at::Tensor dx, dd, dc, db;
  for_element_type(dy, [&]<typename T>(T) {
    using Sum = cuda::Sum<T>;
    if (wants_coefficients) {
      dc = at::empty(call.coefficients.sizes(), sums);
      cuda::coefficient_gradient(problem, read<T>(dy), read<T>(s), call.lookups<T>(), write<Sum>(dc), call.execution);
    }
    if (wants_bias) {
      db = at::empty({problem.conv.out_channels}, sums);
      cuda::bias_gradient(problem, read<T>(dy), write<Sum>(db), call.execution);
    }
    if (!wants_input && !wants_dictionary) return;
    const at::Tensor ds = at::empty_like(s);
    cuda::input_dictionary_gradient(problem, read<T>(dy), call.lookups<T>(), write<T>(ds), call.execution);
    if (wants_input) {
      dx = at::empty(call.x.sizes(), call.x.options());
      cuda::input_gradient(problem, read<T>(ds), read<T>(call.dictionary), write<T>(dx), call.execution);
    }
    if (wants_dictionary) {
      dd = at::empty(call.dictionary.sizes(), sums);
      cuda::dictionary_gradient(problem, read<T>(ds), read<T>(call.x), write<Sum>(dd), call.execution);
    }
  });
  const auto stored = [&](const at::Tensor& gradient) {
    return gradient.defined() ? gradient.to(call.x.scalar_type()) : gradient;
  };
  return {dx, stored(dd), stored(dc), stored(db)};
}

}  // namespace lcnn
