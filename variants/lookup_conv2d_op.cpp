#include "variants/lookup_conv2d_op.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "variants/double_backward.h"
#include "variants/find_operator.h"
#include "variants/lookup_conv2d_backends.h"

namespace lcnn {

LookupProblem lookup_problem(const LookupOperands& operands, const std::optional<at::Tensor>& bias,
                             at::IntArrayRef kernel_size, at::IntArrayRef stride, at::IntArrayRef padding,
                             at::IntArrayRef dilation, std::int64_t groups) {
  const auto& [input, dictionary, offsets, indices, coefficients] = operands;
  TORCH_CHECK_VALUE(input.dim() == 4, "lookup_conv2d: input has ", input.dim(),
                    " dimensions: it must be [batch, in_channels, height, width]");
  TORCH_CHECK_VALUE(dictionary.dim() == 4, "lookup_conv2d: dictionary has ", dictionary.dim(),
                    " dimensions: it must be [dictionary_size, in_channels / groups, height, width]");
  for (const auto& [name, values] : {std::pair("kernel_size", kernel_size), std::pair("stride", stride),
                                     std::pair("padding", padding), std::pair("dilation", dilation)}) {
    TORCH_CHECK_VALUE(values.size() == 2, "lookup_conv2d: ", name, " has ", values.size(), " numbers: it must have 2");
  }
  const std::vector<std::pair<const char*, const at::Tensor*>> parameters{
      {"dictionary", &dictionary}, {"lookup_coefficients", &coefficients}, {"bias", has_tensor(bias) ? &*bias : &input}};
  for (const auto& [name, tensor] : parameters) {
    TORCH_CHECK_VALUE(tensor->scalar_type() == input.scalar_type(), "lookup_conv2d: ", name, " is ",
                      tensor->scalar_type(), " and input is ", input.scalar_type(), ": they must be of one type");
    TORCH_CHECK_VALUE(tensor->device() == input.device(), "lookup_conv2d: ", name, " is on ", tensor->device(),
                      " and input on ", input.device(), ": they must be on one device");
  }
  TORCH_CHECK_VALUE(input.is_floating_point(), "lookup_conv2d: input is ", input.scalar_type(),
                    ": it must be a floating-point tensor");
  for (const auto& [name, tensor] : {std::pair("lookup_offsets", &offsets), std::pair("lookup_indices", &indices)}) {
    TORCH_CHECK_VALUE(tensor->scalar_type() == at::kInt && tensor->dim() == 1 && tensor->device() == input.device(),
                      "lookup_conv2d: ", name, " is ", tensor->scalar_type(), " of ", tensor->dim(), " dimensions on ",
                      tensor->device(), ": it must be Int of 1 dimension on input's device");
  }
  const Pair dictionary_kernel{dictionary.size(2), dictionary.size(3)}, kernel{kernel_size[0], kernel_size[1]};
  TORCH_CHECK_VALUE(dictionary_kernel == (Pair{1, 1}) || dictionary_kernel == kernel, "lookup_conv2d: dictionary entries are ",
                    dictionary_kernel[0], "x", dictionary_kernel[1], ": they must be 1x1 (granularity vector) or the kernel's ",
                    kernel[0], "x", kernel[1], " (granularity filter)");
  TORCH_CHECK_VALUE(groups >= 1, "lookup_conv2d: groups is ", groups, ": it must be at least 1");
  TORCH_CHECK_VALUE(dictionary.size(1) * groups == input.size(1), "lookup_conv2d: dictionary entries have ",
                    dictionary.size(1), " channels: input's ", input.size(1), " and groups ", groups, " need ",
                    input.size(1) / groups);

  LookupProblem problem{.conv = {.batch = input.size(0), .in_channels = input.size(1), .height = input.size(2),
                                 .width = input.size(3), .kernel = kernel, .stride = {stride[0], stride[1]},
                                 .padding = {padding[0], padding[1]}, .dilation = {dilation[0], dilation[1]},
                                 .groups = groups, .bias = has_tensor(bias)},
                        .dictionary_size = dictionary.size(0),
                        .granularity = dictionary_kernel == Pair{1, 1} ? Granularity::vector : Granularity::filter};
  const std::int64_t rows = offsets.numel() - 1, taps = problem.lookup_stage().taps();
  TORCH_CHECK_VALUE(taps >= 1 && rows >= taps && rows % taps == 0, "lookup_conv2d: lookup_offsets has ", offsets.numel(),
                    " elements: it must have out_channels * ", taps, " + 1");
  problem.conv.out_channels = rows / taps;
  TORCH_CHECK_VALUE(coefficients.dim() == 1 && coefficients.numel() == indices.numel(), "lookup_conv2d: lookup_coefficients is ",
                    coefficients.sizes(), ": it must be [", indices.numel(), "], as lookup_indices");
  TORCH_CHECK_VALUE(!has_tensor(bias) || (bias->dim() == 1 && bias->numel() == problem.conv.out_channels),
                    "lookup_conv2d: bias is ", has_tensor(bias) ? bias->sizes() : at::IntArrayRef(), ": it must be [",
                    problem.conv.out_channels, "]");
  try {
    validate(problem);
  } catch (const std::invalid_argument& error) {
    TORCH_CHECK_VALUE(false, "lookup_conv2d: ", error.what());
  }
  return problem;
}

namespace {

using at::IntArrayRef;
using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

std::tuple<Tensor, Tensor> lookup_forward_meta(const LookupProblem& problem, const LookupOperands& operands,
                                               const OptionalTensor&) {
  return {at::empty(output_sizes(problem), operands.input.options()),
          at::empty(input_dictionary_sizes(problem), operands.input.options())};
}

LookupGradients lookup_backward_meta(const LookupProblem& problem, const LookupOperands& operands, const Tensor& grad_output,
                                     const Tensor&, GradientMask mask) {
  const auto like = [&](bool wanted, IntArrayRef sizes) {
    return wanted ? at::empty(sizes, grad_output.options()) : Tensor();
  };
  return {like(mask[0], operands.input.sizes()), like(mask[1], operands.dictionary.sizes()),
          like(mask[2], operands.coefficients.sizes()), like(mask[3], {problem.conv.out_channels})};
}

// The kernels of a device: the same three operators around its two functions.
template <auto kForward, auto kBackward>
struct Backend {
  static std::tuple<Tensor, Tensor> forward(const Tensor& input, const Tensor& dictionary, const Tensor& offsets,
                                            const Tensor& indices, const Tensor& coefficients, const OptionalTensor& bias,
                                            IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding,
                                            IntArrayRef dilation, std::int64_t groups) {
    const LookupOperands operands{input, dictionary, offsets, indices, coefficients};
    return kForward(lookup_problem(operands, bias, kernel_size, stride, padding, dilation, groups), operands, bias);
  }

  static Tensor output(const Tensor& input, const Tensor& dictionary, const Tensor& offsets, const Tensor& indices,
                       const Tensor& coefficients, const OptionalTensor& bias, IntArrayRef kernel_size, IntArrayRef stride,
                       IntArrayRef padding, IntArrayRef dilation, std::int64_t groups) {
    return std::get<0>(forward(input, dictionary, offsets, indices, coefficients, bias, kernel_size, stride, padding,
                               dilation, groups));
  }

  static LookupGradients backward(const Tensor& grad_output, const Tensor& input, const Tensor& dictionary,
                                  const Tensor& input_dictionary, const Tensor& offsets, const Tensor& indices,
                                  const Tensor& coefficients, IntArrayRef kernel_size, IntArrayRef stride,
                                  IntArrayRef padding, IntArrayRef dilation, std::int64_t groups, GradientMask mask) {
    const LookupOperands operands{input, dictionary, offsets, indices, coefficients};
    const LookupProblem problem = lookup_problem(operands, std::nullopt, kernel_size, stride, padding, dilation, groups);
    TORCH_CHECK_VALUE(grad_output.sizes() == output_sizes(problem), "lookup_conv2d_backward: grad_output is ",
                      grad_output.sizes(), ": it must be ", IntArrayRef(output_sizes(problem)));
    TORCH_CHECK_VALUE(input_dictionary.sizes() == input_dictionary_sizes(problem), "lookup_conv2d_backward: input_dictionary is ",
                      input_dictionary.sizes(), ": it must be ", IntArrayRef(input_dictionary_sizes(problem)));
    return kBackward(problem, operands, grad_output, input_dictionary, mask);
  }

  static void registers(torch::Library& library) {
    library.impl("lookup_conv2d", output);
    library.impl("lookup_conv2d_forward", forward);
    library.impl("lookup_conv2d_backward", backward);
  }
};
using CpuBackend = Backend<lookup_forward_cpu, lookup_backward_cpu>;
using MetaBackend = Backend<lookup_forward_meta, lookup_backward_meta>;

class LookupConv2dFunction : public torch::autograd::Function<LookupConv2dFunction> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& input, const Tensor& dictionary,
                        const Tensor& offsets, const Tensor& indices, const Tensor& coefficients, const OptionalTensor& bias,
                        IntArrayRef kernel_size, IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                        std::int64_t groups) {
    static const auto op = find_operator<decltype(CpuBackend::forward)>("lcnn::lookup_conv2d_forward");
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const auto [output, input_dictionary] =
        op.call(input, dictionary, offsets, indices, coefficients, bias, kernel_size, stride, padding, dilation, groups);
    context->save_for_backward({input, dictionary, input_dictionary, offsets, indices, coefficients});
    context->saved_data["kernel_size"] = kernel_size.vec();
    context->saved_data["stride"] = stride.vec();
    context->saved_data["padding"] = padding.vec();
    context->saved_data["dilation"] = dilation.vec();
    context->saved_data["groups"] = groups;
    context->saved_data["has_bias"] = bias.has_value();
    return output;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grad_outputs) {
    torch::autograd::variable_list gradients(kInputs);
    if (!grad_outputs[0].defined()) return gradients;
    // A bias that is not there has no edge in the graph.
    const bool has_bias = context->saved_data["has_bias"].toBool();
    const GradientMask mask{context->needs_input_grad(kInput), context->needs_input_grad(kDictionary),
                            context->needs_input_grad(kCoefficients), has_bias && context->needs_input_grad(kBias)};
    const bool builds_graph = at::GradMode::is_enabled();
    {
      static const auto op = find_operator<decltype(CpuBackend::backward)>("lcnn::lookup_conv2d_backward");
      const at::AutoGradMode no_graph(false);
      const auto saved = context->get_saved_variables();
      const auto numbers = [&](const char* name) { return context->saved_data[name].toIntVector(); };
      const auto [input, dictionary, coefficients, bias] =
          op.call(grad_outputs[0], saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], numbers("kernel_size"),
                  numbers("stride"), numbers("padding"), numbers("dilation"), context->saved_data["groups"].toInt(), mask);
      gradients[kInput] = input;
      gradients[kDictionary] = dictionary;
      gradients[kCoefficients] = coefficients;
      gradients[kBias] = bias;
    }
    return builds_graph ? refusing_double_backward("lcnn::lookup_conv2d", std::move(gradients)) : gradients;
  }

 private:
  // Places among forward's arguments.
  static constexpr std::size_t kInput = 0, kDictionary = 1, kCoefficients = 4, kBias = 5, kInputs = 11;
};

Tensor lookup_conv2d_autograd(const Tensor& input, const Tensor& dictionary, const Tensor& offsets, const Tensor& indices,
                              const Tensor& coefficients, const OptionalTensor& bias, IntArrayRef kernel_size,
                              IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, std::int64_t groups) {
  return LookupConv2dFunction::apply(input, dictionary, offsets, indices, coefficients, bias, kernel_size, stride, padding,
                                     dilation, groups);
}

// In the type that autocast computes convolutions in.
template <at::DeviceType kDevice, at::DispatchKey kKey>
Tensor lookup_conv2d_autocast(const Tensor& input, const Tensor& dictionary, const Tensor& offsets, const Tensor& indices,
                              const Tensor& coefficients, const OptionalTensor& bias, IntArrayRef kernel_size,
                              IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation, std::int64_t groups) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(kKey);
  const auto cast = [](const auto& tensor) {
    return at::autocast::cached_cast(at::autocast::get_autocast_dtype(kDevice), tensor, kDevice);
  };
  return lookup_conv2d(cast(input), cast(dictionary), offsets, indices, cast(coefficients), cast(bias), kernel_size, stride,
                       padding, dilation, groups);
}

constexpr const char* kLayerArguments =
    "Tensor input, Tensor dictionary, Tensor lookup_offsets, Tensor lookup_indices, Tensor lookup_coefficients, "
    "Tensor? bias, int[2] kernel_size, int[2] stride=1, int[2] padding=0, int[2] dilation=1, int groups=1";

}  // namespace

at::Tensor lookup_conv2d(const at::Tensor& input, const at::Tensor& dictionary, const at::Tensor& lookup_offsets,
                         const at::Tensor& lookup_indices, const at::Tensor& lookup_coefficients,
                         const std::optional<at::Tensor>& bias, at::IntArrayRef kernel_size, at::IntArrayRef stride,
                         at::IntArrayRef padding, at::IntArrayRef dilation, std::int64_t groups) {
  static const auto op = find_operator<decltype(CpuBackend::output)>("lcnn::lookup_conv2d");
  return op.call(input, dictionary, lookup_offsets, lookup_indices, lookup_coefficients, bias, kernel_size, stride, padding,
                 dilation, groups);
}

}  // namespace lcnn

TORCH_LIBRARY(lcnn, library) {
  const std::string arguments = lcnn::kLayerArguments;
  library.def(("lookup_conv2d(" + arguments + ") -> Tensor").c_str());
  library.def(("lookup_conv2d_forward(" + arguments + ") -> (Tensor output, Tensor input_dictionary)").c_str());
  library.def(
      "lookup_conv2d_backward(Tensor grad_output, Tensor input, Tensor dictionary, Tensor input_dictionary, "
      "Tensor lookup_offsets, Tensor lookup_indices, Tensor lookup_coefficients, int[2] kernel_size, int[2] stride, "
      "int[2] padding, int[2] dilation, int groups, bool[4] output_mask) -> (Tensor, Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(lcnn, CPU, library) { lcnn::CpuBackend::registers(library); }
TORCH_LIBRARY_IMPL(lcnn, Meta, library) { lcnn::MetaBackend::registers(library); }
TORCH_LIBRARY_IMPL(lcnn, Autograd, library) { library.impl("lookup_conv2d", lcnn::lookup_conv2d_autograd); }
TORCH_LIBRARY_IMPL(lcnn, AutocastCPU, library) {
  library.impl("lookup_conv2d", lcnn::lookup_conv2d_autocast<at::kCPU, at::DispatchKey::AutocastCPU>);
}
#if LCNN_HAS_CUDA
TORCH_LIBRARY_IMPL(lcnn, CUDA, library) {
  lcnn::Backend<lcnn::lookup_forward_cuda, lcnn::lookup_backward_cuda>::registers(library);
}
TORCH_LIBRARY_IMPL(lcnn, AutocastCUDA, library) {
  library.impl("lookup_conv2d", lcnn::lookup_conv2d_autocast<at::kCUDA, at::DispatchKey::AutocastCUDA>);
}
#endif
