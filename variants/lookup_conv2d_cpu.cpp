// lcnn::lookup_conv2d on the CPU: kernels/cpu/training.h over tensors.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>

#include <stdexcept>

#include "kernels/cpu/training.h"
#include "variants/lookup_conv2d_backends.h"

namespace lcnn {
namespace {

// Half and bfloat16 are computed in float: the kernels' sums are.
at::ScalarType computed_type(const at::Tensor& input) {
  return input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}
at::Tensor computed(const at::Tensor& tensor) { return tensor.to(computed_type(tensor)).contiguous(); }

void check_table(const LookupProblem& problem, const at::Tensor& offsets, const at::Tensor& indices) {
  try {
    check_lookups(problem, offsets.const_data_ptr<std::int32_t>(), indices.const_data_ptr<std::int32_t>(), indices.numel());
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK_VALUE(false, "lookup_conv2d: ", error.what());
  }
}

// P in contiguous memory of the type that is computed in.
struct Table {
  at::Tensor offsets, indices, coefficients;

  Table(const LookupProblem& problem, const LookupOperands& operands)
      : offsets(operands.offsets.contiguous()),
        indices(operands.indices.contiguous()),
        coefficients(computed(operands.coefficients)) {
    check_table(problem, offsets, indices);
  }
  template <typename T>
  LookupArrays<T> arrays() const {
    return {offsets.const_data_ptr<std::int32_t>(), indices.const_data_ptr<std::int32_t>(),
            coefficients.const_data_ptr<T>(), indices.numel()};
  }
};

}  // namespace

std::tuple<at::Tensor, at::Tensor> lookup_forward_cpu(const LookupProblem& problem, const LookupOperands& operands,
                                                      const std::optional<at::Tensor>& bias) {
  const at::Tensor x = computed(operands.input), dictionary = computed(operands.dictionary);
  const Table table(problem, operands);
  const at::Tensor b = has_tensor(bias) ? computed(*bias) : at::Tensor();
  const at::Tensor s = at::empty(input_dictionary_sizes(problem), x.options());
  const at::Tensor y = at::empty(output_sizes(problem), x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "lookup_conv2d", [&] {
    cpu::input_dictionary(problem, x.const_data_ptr<scalar_t>(), dictionary.const_data_ptr<scalar_t>(),
                          s.mutable_data_ptr<scalar_t>());
    cpu::lookup_output(problem, s.const_data_ptr<scalar_t>(), table.arrays<scalar_t>(),
                       b.defined() ? b.const_data_ptr<scalar_t>() : nullptr, y.mutable_data_ptr<scalar_t>());
  });
  return {y.to(operands.input.scalar_type()), s.to(operands.input.scalar_type())};
}

LookupGradients lookup_backward_cpu(const LookupProblem& problem, const LookupOperands& operands,
                                    const at::Tensor& grad_output, const at::Tensor& input_dictionary, GradientMask mask) {
  const auto [wants_input, wants_dictionary, wants_coefficients, wants_bias] = mask;
  const at::Tensor dy = computed(grad_output), s = computed(input_dictionary);
  const at::Tensor x = computed(operands.input), dictionary = computed(operands.dictionary);
  const Table table(problem, operands);
  at::Tensor dx, dd, dc, db;
  AT_DISPATCH_FLOATING_TYPES(dy.scalar_type(), "lookup_conv2d_backward", [&] {
    const auto lookups = table.arrays<scalar_t>();
    const auto* from = dy.const_data_ptr<scalar_t>();
    const auto result = [&](at::Tensor& gradient, at::IntArrayRef sizes) {
      gradient = at::empty(sizes, dy.options());
      return gradient.mutable_data_ptr<scalar_t>();
    };
    if (wants_coefficients) {
      cpu::coefficient_gradient(problem, from, s.const_data_ptr<scalar_t>(), lookups, result(dc, table.coefficients.sizes()));
    }
    if (wants_bias) cpu::bias_gradient(problem, from, result(db, {problem.conv.out_channels}));
    if (!wants_input && !wants_dictionary) return;
    const at::Tensor ds = at::empty_like(s);
    cpu::input_dictionary_gradient(problem, from, lookups, ds.mutable_data_ptr<scalar_t>());
    if (wants_input) {
      cpu::input_gradient(problem, ds.const_data_ptr<scalar_t>(), dictionary.const_data_ptr<scalar_t>(), result(dx, x.sizes()));
    }
    if (wants_dictionary) {
      cpu::dictionary_gradient(problem, ds.const_data_ptr<scalar_t>(), x.const_data_ptr<scalar_t>(),
                               result(dd, dictionary.sizes()));
    }
  });
  const auto stored = [&](const at::Tensor& gradient) {
    return gradient.defined() ? gradient.to(operands.input.scalar_type()) : gradient;
  };
  return {stored(dx), stored(dd), stored(dc), stored(db)};
}

}  // namespace lcnn
