// lcnn::lookup_conv2d and lcnn::lookup_filters on the CPU: kernels/cpu/training.h over tensors.
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

void check_table(const char* name, const LookupProblem& problem, const at::Tensor& offsets, const at::Tensor& indices) {
  try {
    check_lookups(problem, offsets.const_data_ptr<std::int32_t>(), indices.const_data_ptr<std::int32_t>(), indices.numel());
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK_VALUE(false, name, ": ", error.what());
  }
}

// P in contiguous memory of the type that is computed in.
struct Table {
  at::Tensor offsets, indices, coefficients;

  // `name`: of the operator, for errors.
  template <typename Operands>
  Table(const char* name, const LookupProblem& problem, const Operands& operands)
      : offsets(operands.offsets.contiguous()),
        indices(operands.indices.contiguous()),
        coefficients(computed(operands.coefficients)) {
    check_table(name, problem, offsets, indices);
  }
  template <typename T>
  LookupArrays<T> arrays() const {
    return {offsets.const_data_ptr<std::int32_t>(), indices.const_data_ptr<std::int32_t>(),
            coefficients.const_data_ptr<T>(), indices.numel()};
  }
};

// P's rows as the output channels of a layer without taps and groups.
LookupProblem as_problem(const FilterMatrix& matrix) {
  return {.conv = {.out_channels = matrix.rows}, .dictionary_size = matrix.dictionary_size};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> lookup_forward_cpu(const LookupProblem& problem, const LookupOperands& operands,
                                                      const std::optional<at::Tensor>& bias) {
  const at::Tensor x = computed(operands.input), dictionary = computed(operands.dictionary);
  const Table table("lookup_conv2d", problem, operands);
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
  const Table table("lookup_conv2d", problem, operands);
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
  return {stored_as(operands.input, dx), stored_as(operands.input, dd), stored_as(operands.input, dc), stored_as(operands.input, db)};
}

at::Tensor filters_cpu(const FilterOperands& operands, at::ScalarType type) {
  const at::Tensor dictionary = computed(operands.dictionary);
  const FilterMatrix matrix = operands.matrix();
  const Table table("lookup_filters", as_problem(matrix), operands);
  const at::Tensor filters = at::empty({matrix.rows, matrix.columns}, dictionary.options());
  AT_DISPATCH_FLOATING_TYPES(dictionary.scalar_type(), "lookup_filters", [&] {
    cpu::filters(matrix, dictionary.const_data_ptr<scalar_t>(), table.arrays<scalar_t>(), filters.mutable_data_ptr<scalar_t>());
  });
  return filters.to(type);
}

FilterGradients filters_backward_cpu(const FilterOperands& operands, const at::Tensor& grad_filters, std::array<bool, 2> mask) {
  const auto [wants_dictionary, wants_coefficients] = mask;
  const at::Tensor dw = computed(grad_filters), dictionary = computed(operands.dictionary);
  const FilterMatrix matrix = operands.matrix();
  const Table table("lookup_filters", as_problem(matrix), operands);
  at::Tensor dd, dc;
  AT_DISPATCH_FLOATING_TYPES(dw.scalar_type(), "lookup_filters_backward", [&] {
    const auto lookups = table.arrays<scalar_t>();
    if (wants_dictionary) {
      dd = at::empty_like(dictionary);
      cpu::filter_dictionary_gradient(matrix, dw.const_data_ptr<scalar_t>(), lookups, dd.mutable_data_ptr<scalar_t>());
    }
    if (wants_coefficients) {
      dc = at::empty_like(table.coefficients);
      cpu::filter_coefficient_gradient(matrix, dw.const_data_ptr<scalar_t>(), dictionary.const_data_ptr<scalar_t>(), lookups,
                                       dc.mutable_data_ptr<scalar_t>());
    }
  });
  return {stored_as(operands.dictionary, dd), stored_as(operands.dictionary, dc)};
}

}  // namespace lcnn
