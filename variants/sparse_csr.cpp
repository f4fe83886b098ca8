// What a user would reach for instead on a CPU: P as a sparse matrix in LibTorch's CSR format, times unfolded S.
//
// S is a library convolution; the product with a sparse matrix is MKL's (mkl_sparse_s_mm), one for each image.
#include <ATen/Context.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/im2col.h>
#include <ATen/ops/sparse_csr_tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <optional>

#include "variants/silent_warnings.h"
#include "variants/tensor_view.h"
#include "variants/variant_table.h"

namespace lcnn::cpu {
namespace {

// P [out_channels, dictionary_size * kh * kw], a column for each (entry, r, c), as im2col orders them.
at::Tensor csr_matrix(const LookupProblem& problem, const LookupTable& table) {
  const std::int64_t taps = problem.lookup_stage().taps(), columns = problem.dictionary_size * taps;
  const at::Tensor dense = make_tensor(dense_lookups(problem, table), {problem.conv.out_channels, columns}, Precision::fp32, at::kCPU);
  const SilentWarnings silent;  // the format calls itself new
  const at::Tensor csr = dense.to_sparse_csr();
  // With indices as MKL takes them.
  return at::sparse_csr_tensor(csr.crow_indices().to(at::kInt), csr.col_indices().to(at::kInt), csr.values(), {problem.conv.out_channels, columns},
                               at::TensorOptions().dtype(at::kFloat));
}

class SparseCsr final : public PreparedConvolution {
 public:
  SparseCsr(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout, const Execution&)
      : dictionary_stage_(problem.dictionary_stage()), lookup_stage_(problem.lookup_stage()), precision_(precision), layout_(layout) {
    const c10::InferenceMode no_autograd;
    dictionary_ = make_weight(dictionary_stage_, weights.dictionary, precision, layout, at::kCPU);
    lookups_ = csr_matrix(problem, weights.lookups);
    bias_ = weights.bias.empty() ? at::zeros({problem.conv.out_channels}) : make_bias(weights.bias, precision, at::kCPU);
    bias_ = bias_.unsqueeze(1);
  }

  void run(const void* x, void* y, void*) override {
    const c10::InferenceMode no_autograd;
    const Conv2dProblem &d = dictionary_stage_, &p = lookup_stage_;
    const at::Tensor s = at::conv2d(view_input(d, x, precision_, layout_, at::kCPU), dictionary_, std::nullopt, d.stride, d.padding, d.dilation);
    const bool as_it_is = p.taps() == 1 && p.stride == Pair{1, 1} && p.padding == Pair{0, 0};
    const at::Tensor unfolded = as_it_is ? s.flatten(2) : at::im2col(s, p.kernel, p.dilation, p.padding, p.stride);
    const at::Tensor output = view_output(p, y, precision_, layout_, at::kCPU).flatten(2);
    for (std::int64_t image = 0; image < p.batch; ++image) {
      at::Tensor of_image = output[image];
      at::addmm_out(of_image, bias_, lookups_, unfolded[image]);
    }
  }

 private:
  Conv2dProblem dictionary_stage_, lookup_stage_;
  Precision precision_;
  Layout layout_;
  at::Tensor dictionary_, lookups_, bias_;
};

std::string why_unsupported(const LookupProblem& problem, Precision precision, Layout layout) {
  if (!at::hasMKL()) return "this LibTorch was built without MKL, whose product of a CSR matrix it is";
  if (problem.conv.groups != 1) return "groups are not supported";
  return why_not_fp32_nchw(problem, precision, layout);
}

}  // namespace

const Variant sparse_csr{.name = "sparse_csr",
                         .kind = VariantKind::peer,
                         .device = Device::cpu,
                         .why_unsupported = why_unsupported,
                         .prepare = prepare_as<SparseCsr>};

}  // namespace lcnn::cpu
