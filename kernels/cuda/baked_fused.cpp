// baked_fused: one kernel; S of a strip of rows is computed into shared memory and gathered with the lookups compiled in.
//
// Problem: any vector dictionary; a filter dictionary is written as a vector one first. NCHW.
// Idea:    S never leaves the chip. The halo's S is computed again by the neighbouring strips, so it pays where strips are
//          long against the halo and one block takes all output channels.
// Bound:   bytes of X (with halo, from the L2) and Y; phases of a block overlap only with those of its neighbours.
#include "kernels/cuda/baked_choice.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/dictionary_pack.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

class BakedFused final : public PreparedConvolution {
 public:
  BakedFused(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout,
             const Execution& execution)
      : BakedFused(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override {
    gather_.run(x, dictionary_.as<void>(), y, stream);
  }

  std::int64_t code_bytes() const override { return gather_.kernel.code_bytes(); }
  std::string choice() const override { return gather_.describe(); }

 private:
  BakedFused(const VectorForm& form, Precision precision, const Execution& execution)
      : dictionary_(upload(std::span<const std::uint32_t>(
                               pack_dictionary(form.problem.dictionary_stage(), form.weights.dictionary, precision)),
                           MemoryKind::weights, execution)),
        gather_(make_baked_kernel(form, precision, dictionary_.as<void>(), /*fused=*/true, execution)) {}

  Buffer dictionary_;
  BakedKernel gather_;
};

}  // namespace

const Variant baked_fused{
    .name = "baked_fused",
    .device = Device::cuda,
    .why_unsupported = [](const LookupProblem& problem, Precision precision,
                          Layout layout) { return why_not_baked(problem, precision, layout, /*fused=*/true); },
    .prepare = prepare_as<BakedFused>};

}  // namespace lcnn::cuda
