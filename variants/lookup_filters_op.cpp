#include "variants/lookup_filters_op.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "variants/double_backward.h"
#include "variants/lookup_conv2d_backends.h"

namespace lcnn {
namespace {

using at::Tensor;
using Mask = std::array<bool, 2>;

void check(const FilterOperands& operands) {
  const auto& [dictionary, offsets, indices, coefficients] = operands;
  TORCH_CHECK_VALUE(dictionary.dim() == 2, "lookup_filters: dictionary has ", dictionary.dim(),
                    " dimensions: it must be [dictionary_size, columns]");
  TORCH_CHECK_VALUE(dictionary.is_floating_point(), "lookup_filters: dictionary is ", dictionary.scalar_type(),
                    ": it must be a floating-point tensor");
  TORCH_CHECK_VALUE(coefficients.scalar_type() == dictionary.scalar_type() && coefficients.device() == dictionary.device(),
                    "lookup_filters: lookup_coefficients is ", coefficients.scalar_type(), " on ", coefficients.device(),
                    " and dictionary ", dictionary.scalar_type(), " on ", dictionary.device(),
                    ": they must be of one type on one device");
  for (const auto& [name, tensor] : {std::pair("lookup_offsets", &offsets), std::pair("lookup_indices", &indices)}) {
    TORCH_CHECK_VALUE(tensor->scalar_type() == at::kInt && tensor->dim() == 1 && tensor->device() == dictionary.device(),
                      "lookup_filters: ", name, " is ", tensor->scalar_type(), " of ", tensor->dim(), " dimensions on ",
                      tensor->device(), ": it must be Int of 1 dimension on dictionary's device");
  }
  TORCH_CHECK_VALUE(offsets.numel() >= 1, "lookup_filters: lookup_offsets is empty: it must have a row's number and one more elements");
  TORCH_CHECK_VALUE(coefficients.dim() == 1 && coefficients.numel() == indices.numel(), "lookup_filters: lookup_coefficients is ",
                    coefficients.sizes(), ": it must be [", indices.numel(), "], as lookup_indices");
}

Tensor filters_meta(const FilterOperands& operands) {
  const FilterMatrix matrix = operands.matrix();
  return at::empty({matrix.rows, matrix.columns}, operands.dictionary.options());
}

FilterGradients filters_backward_meta(const FilterOperands& operands, const Tensor&, Mask mask) {
  return {mask[0] ? at::empty_like(operands.dictionary) : Tensor(), mask[1] ? at::empty_like(operands.coefficients) : Tensor()};
}

// The kernels of a device: two operators around its two functions.
template <auto kForward, auto kBackward>
struct Backend {
  static Tensor forward(const Tensor& dictionary, const Tensor& offsets, const Tensor& indices, const Tensor& coefficients) {
    const FilterOperands operands{dictionary, offsets, indices, coefficients};
    check(operands);
    return kForward(operands);
  }

  static FilterGradients backward(const Tensor& grad_filters, const Tensor& dictionary, const Tensor& offsets, const Tensor& indices,
                                  const Tensor& coefficients, Mask mask) {
    const FilterOperands operands{dictionary, offsets, indices, coefficients};
    check(operands);
    const FilterMatrix matrix = operands.matrix();
    TORCH_CHECK_VALUE(grad_filters.sizes() == at::IntArrayRef({matrix.rows, matrix.columns}), "lookup_filters_backward: grad_filters is ",
                      grad_filters.sizes(), ": it must be [", matrix.rows, ", ", matrix.columns, "]");
    return kBackward(operands, grad_filters, mask);
  }

  static void registers(torch::Library& library) {
    library.impl("lookup_filters", forward);
    library.impl("lookup_filters_backward", backward);
  }
};
using CpuBackend = Backend<filters_cpu, filters_backward_cpu>;
using MetaBackend = Backend<filters_meta, filters_backward_meta>;

template <typename Signature>
auto find_operator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").template typed<Signature>();
}

class LookupFiltersFunction : public torch::autograd::Function<LookupFiltersFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& dictionary, const Tensor& offsets,
                        const Tensor& indices, const Tensor& coefficients) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({dictionary, offsets, indices, coefficients});
    return lookup_filters(dictionary, offsets, indices, coefficients);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    torch::autograd::variable_list gradients(4);
    if (!grad_outputs[0].defined()) return gradients;
    const Mask mask{context->needs_input_grad(kDictionary), context->needs_input_grad(kCoefficients)};
    const bool builds_graph = at::GradMode::is_enabled();
    {
      static const auto op = find_operator<decltype(CpuBackend::backward)>("lcnn::lookup_filters_backward");
      const at::AutoGradMode no_graph(false);
      const auto saved = context->get_saved_variables();
      std::tie(gradients[kDictionary], gradients[kCoefficients]) = op.call(grad_outputs[0], saved[0], saved[1], saved[2], saved[3], mask);
    }
    return builds_graph ? refusing_double_backward("lcnn::lookup_filters", std::move(gradients)) : gradients;
  }

 private:
  static constexpr std::size_t kDictionary = 0, kCoefficients = 3;  // places among forward's arguments
};

Tensor lookup_filters_autograd(const Tensor& dictionary, const Tensor& offsets, const Tensor& indices, const Tensor& coefficients) {
  return LookupFiltersFunction::apply(dictionary, offsets, indices, coefficients);
}

// In the type that autocast computes convolutions in, as the filters are for one.
template <at::DeviceType kDevice, at::DispatchKey kKey>
Tensor lookup_filters_autocast(const Tensor& dictionary, const Tensor& offsets, const Tensor& indices, const Tensor& coefficients) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  const auto cast = [](const Tensor& tensor) {
    return at::autocast::cached_cast(at::autocast::get_autocast_dtype(kDevice), tensor, kDevice);
  };
  return lookup_filters(cast(dictionary), offsets, indices, cast(coefficients));
}

}  // namespace

at::Tensor lookup_filters(const at::Tensor& dictionary, const at::Tensor& lookup_offsets, const at::Tensor& lookup_indices,
                          const at::Tensor& lookup_coefficients) {
  static const auto op = find_operator<decltype(CpuBackend::forward)>("lcnn::lookup_filters");
  return op.call(dictionary, lookup_offsets, lookup_indices, lookup_coefficients);
}

}  // namespace lcnn

TORCH_LIBRARY_FRAGMENT(lcnn, library) {
  library.def("lookup_filters(Tensor dictionary, Tensor lookup_offsets, Tensor lookup_indices, Tensor lookup_coefficients) -> Tensor");
  library.def(
      "lookup_filters_backward(Tensor grad_filters, Tensor dictionary, Tensor lookup_offsets, Tensor lookup_indices, "
      "Tensor lookup_coefficients, bool[2] output_mask) -> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(lcnn, CPU, library) { lcnn::CpuBackend::registers(library); }
TORCH_LIBRARY_IMPL(lcnn, Meta, library) { lcnn::MetaBackend::registers(library); }
TORCH_LIBRARY_IMPL(lcnn, Autograd, library) { library.impl("lookup_filters", lcnn::lookup_filters_autograd); }
TORCH_LIBRARY_IMPL(lcnn, AutocastCPU, library) {
  library.impl("lookup_filters", lcnn::lookup_filters_autocast<at::kCPU, at::DispatchKey::AutocastCPU>);
}
#if LCNN_HAS_CUDA
TORCH_LIBRARY_IMPL(lcnn, CUDA, library) { lcnn::Backend<lcnn::filters_cuda, lcnn::filters_backward_cuda>::registers(library); }
TORCH_LIBRARY_IMPL(lcnn, AutocastCUDA, library) {
  library.impl("lookup_filters", lcnn::lookup_filters_autocast<at::kCUDA, at::DispatchKey::AutocastCUDA>);
}
#endif
