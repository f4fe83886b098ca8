#include "variants/lookup_filters_op.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/searchsorted.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>
#include <utility>

#include "variants/double_backward.h"
#include "variants/find_operator.h"
#include "variants/lookup_conv2d_backends.h"

namespace lcnn {
namespace {

using at::Tensor;
using Mask = std::array<bool, 2>;

constexpr const char* kLookupArguments =
    "Tensor dictionary, Tensor lookup_offsets, Tensor lookup_indices, Tensor lookup_coefficients, Tensor entry_offsets, "
    "Tensor entry_rows, Tensor entry_order";

void check(const FilterOperands& operands) {
  const auto& [dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order] = operands;
  TORCH_CHECK_VALUE(dictionary.dim() == 2, "lookup_filters: dictionary has ", dictionary.dim(),
                    " dimensions: it must be [dictionary_size, columns]");
  TORCH_CHECK_VALUE(dictionary.is_floating_point(), "lookup_filters: dictionary is ", dictionary.scalar_type(),
                    ": it must be a floating-point tensor");
  TORCH_CHECK_VALUE(coefficients.scalar_type() == dictionary.scalar_type() && coefficients.device() == dictionary.device(),
                    "lookup_filters: lookup_coefficients is ", coefficients.scalar_type(), " on ", coefficients.device(),
                    " and dictionary ", dictionary.scalar_type(), " on ", dictionary.device(),
                    ": they must be of one type on one device");
  for (const auto& [name, tensor] : {std::pair("lookup_offsets", &offsets), std::pair("lookup_indices", &indices),
                                     std::pair("entry_offsets", &entry_offsets), std::pair("entry_rows", &entry_rows),
                                     std::pair("entry_order", &entry_order)}) {
    TORCH_CHECK_VALUE(tensor->scalar_type() == at::kInt && tensor->dim() == 1 && tensor->device() == dictionary.device(),
                      "lookup_filters: ", name, " is ", tensor->scalar_type(), " of ", tensor->dim(), " dimensions on ",
                      tensor->device(), ": it must be Int of 1 dimension on dictionary's device");
  }
  TORCH_CHECK_VALUE(offsets.numel() >= 1, "lookup_filters: lookup_offsets is empty: it must have one element more than there are rows");
  TORCH_CHECK_VALUE(entry_offsets.numel() == dictionary.size(0) + 1, "lookup_filters: entry_offsets has ", entry_offsets.numel(),
                    " elements: it must have dictionary_size + 1 = ", dictionary.size(0) + 1);
  TORCH_CHECK_VALUE(coefficients.dim() == 1 && coefficients.numel() == indices.numel(), "lookup_filters: lookup_coefficients is ",
                    coefficients.sizes(), ": it must be [", indices.numel(), "], as lookup_indices");
  for (const auto& [name, tensor] : {std::pair("entry_rows", &entry_rows), std::pair("entry_order", &entry_order)}) {
    TORCH_CHECK_VALUE(tensor->numel() == indices.numel(), "lookup_filters: ", name, " has ", tensor->numel(), " elements: it must have ",
                      indices.numel(), ", as lookup_indices");
  }
}

// W's type, when it is asked for.
at::ScalarType filter_type(const Tensor& dictionary, std::optional<at::ScalarType> asked) {
  const at::ScalarType own = dictionary.scalar_type(), type = asked.value_or(own);
  TORCH_CHECK_VALUE(type == own || (own == at::kFloat && (type == at::kHalf || type == at::kBFloat16)), "lookup_filters: dtype is ", type,
                    " of a dictionary in ", own, ": its own is accepted, and Half and BFloat16 of Float");
  return type;
}

Tensor filters_meta(const FilterOperands& operands, at::ScalarType type) {
  const FilterMatrix matrix = operands.matrix();
  return at::empty({matrix.rows, matrix.columns}, operands.dictionary.options().dtype(type));
}

FilterGradients filters_backward_meta(const FilterOperands& operands, const Tensor&, Mask mask) {
  return {mask[0] ? at::empty_like(operands.dictionary) : Tensor(), mask[1] ? at::empty_like(operands.coefficients) : Tensor()};
}

// The kernels of a device: two operators around its two functions.
template <auto kForward, auto kBackward>
struct Backend {
  static Tensor forward(const Tensor& dictionary, const Tensor& offsets, const Tensor& indices, const Tensor& coefficients,
                        const Tensor& entry_offsets, const Tensor& entry_rows, const Tensor& entry_order,
                        std::optional<at::ScalarType> type) {
    const FilterOperands operands{dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order};
    check(operands);
    return kForward(operands, filter_type(dictionary, type));
  }

  static FilterGradients backward(const Tensor& grad_filters, const Tensor& dictionary, const Tensor& offsets, const Tensor& indices,
                                  const Tensor& coefficients, const Tensor& entry_offsets, const Tensor& entry_rows,
                                  const Tensor& entry_order, Mask mask) {
    const FilterOperands operands{dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order};
    check(operands);
    filter_type(dictionary, grad_filters.scalar_type());
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

Tensor dispatched(const Tensor& dictionary, const Tensor& offsets, const Tensor& indices, const Tensor& coefficients,
                  const Tensor& entry_offsets, const Tensor& entry_rows, const Tensor& entry_order, std::optional<at::ScalarType> type) {
  static const auto op = find_operator<decltype(CpuBackend::forward)>("lcnn::lookup_filters");
  return op.call(dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order, type);
}

class LookupFiltersFunction : public torch::autograd::Function<LookupFiltersFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& dictionary, const Tensor& offsets,
                        const Tensor& indices, const Tensor& coefficients, const Tensor& entry_offsets, const Tensor& entry_rows,
                        const Tensor& entry_order, std::optional<at::ScalarType> type) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order});
    return dispatched(dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order, type);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    torch::autograd::variable_list gradients(kInputs);
    if (!grad_outputs[0].defined()) return gradients;
    const Mask mask{context->needs_input_grad(kDictionary), context->needs_input_grad(kCoefficients)};
    const bool builds_graph = at::GradMode::is_enabled();
    {
      static const auto op = find_operator<decltype(CpuBackend::backward)>("lcnn::lookup_filters_backward");
      const at::AutoGradMode no_graph(false);
      const auto saved = context->get_saved_variables();
      std::tie(gradients[kDictionary], gradients[kCoefficients]) =
          op.call(grad_outputs[0], saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6], mask);
    }
    return builds_graph ? refusing_double_backward("lcnn::lookup_filters", std::move(gradients)) : gradients;
  }

 private:
  static constexpr std::size_t kDictionary = 0, kCoefficients = 3, kInputs = 8;  // places among forward's arguments
};

Tensor lookup_filters_autograd(const Tensor& dictionary, const Tensor& offsets, const Tensor& indices, const Tensor& coefficients,
                               const Tensor& entry_offsets, const Tensor& entry_rows, const Tensor& entry_order,
                               std::optional<at::ScalarType> type) {
  return LookupFiltersFunction::apply(dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order, type);
}

// In the type that autocast computes convolutions in, as the filters are for one; parameters are read as they are.
template <at::DeviceType kDevice, at::DispatchKey kKey>
Tensor lookup_filters_autocast(const Tensor& dictionary, const Tensor& offsets, const Tensor& indices, const Tensor& coefficients,
                               const Tensor& entry_offsets, const Tensor& entry_rows, const Tensor& entry_order,
                               std::optional<at::ScalarType> type) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  if (!type && dictionary.scalar_type() == at::kFloat) type = at::autocast::get_autocast_dtype(kDevice);
  return dispatched(dictionary, offsets, indices, coefficients, entry_offsets, entry_rows, entry_order, type);
}

std::tuple<Tensor, Tensor, Tensor> by_entry_of(const Tensor& offsets, const Tensor& indices, std::int64_t dictionary_size) {
  return lookups_by_entry(offsets, indices, dictionary_size);
}

}  // namespace

LookupsByEntry lookups_by_entry(const Tensor& lookup_offsets, const Tensor& lookup_indices, std::int64_t dictionary_size) {
  const at::NoGradGuard no_grad;
  const auto [entries, order] = lookup_indices.sort(/*stable=*/true, 0, /*descending=*/false);
  const Tensor offsets = at::searchsorted(entries, at::arange(dictionary_size + 1, entries.options()), /*out_int32=*/true);
  const Tensor place = order.to(at::kInt);
  return {offsets, at::searchsorted(lookup_offsets, place, /*out_int32=*/true, /*right=*/true) - 1, place};
}

at::Tensor lookup_filters(const Tensor& dictionary, const Tensor& lookup_offsets, const Tensor& lookup_indices,
                          const Tensor& lookup_coefficients, const LookupsByEntry& by_entry, std::optional<at::ScalarType> type) {
  const auto& [entry_offsets, entry_rows, entry_order] = by_entry;
  return dispatched(dictionary, lookup_offsets, lookup_indices, lookup_coefficients, entry_offsets, entry_rows, entry_order, type);
}

}  // namespace lcnn

TORCH_LIBRARY_FRAGMENT(lcnn, library) {
  library.def("lookups_by_entry(Tensor lookup_offsets, Tensor lookup_indices, int dictionary_size) -> "
              "(Tensor entry_offsets, Tensor entry_rows, Tensor entry_order)",
              lcnn::by_entry_of);
  const std::string arguments = lcnn::kLookupArguments;
  library.def(("lookup_filters(" + arguments + ", ScalarType? dtype=None) -> Tensor").c_str());
  library.def(("lookup_filters_backward(Tensor grad_filters, " + arguments + ", bool[2] output_mask) -> (Tensor, Tensor)").c_str());
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
