// baked_gather: a dictionary kernel that streams X, then a gather kernel with the layer's lookups compiled in.
//
// Problem: any vector dictionary; a filter dictionary is written as a vector one first. NCHW.
// Idea:    lookups, coefficients and biases are immediates of run-time-compiled code, so a lookup is one FFMA: each S
//          value is loaded once from shared memory for all output channels of a block that look it up.
//          S is kept with its padding, so that a block copies its rows of it in one piece: no index, no test.
// Bound:   bytes where the problem is large (X once, S once out and about 1.3 times in from the L2, Y once); launch and
//          latency where it is small. S is small against X as long as dictionary_size is against in_channels.
#include "kernels/cuda/baked_choice.h"
#include "kernels/cuda/cuda_variants.h"
#include "kernels/cuda/dictionary_stage.h"
#include "kernels/cuda/weights_upload.h"

namespace lcnn::cuda {
namespace {

class BakedGather final : public PreparedConvolution {
 public:
  BakedGather(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout,
              const Execution& execution)
      : BakedGather(vector_form(problem, weights), precision, execution) {}

  void run(const void* x, void* y, void* stream) override {
    void* s = input_dictionary_.as<void>();
    dictionary_.run(x, s, stream);
    gather_.run(s, nullptr, y, stream);
  }

  std::int64_t code_bytes() const override { return gather_.kernel.code_bytes(); }
  std::string choice() const override { return dictionary_.choice() + "; " + gather_.describe(); }

 private:
  BakedGather(const VectorForm& form, Precision precision, const Execution& execution)
      : gather_(make_baked_kernel(form, precision, nullptr, /*fused=*/false, execution)),
        layout_(form.problem.lookup_stage(), precision),
        dictionary_(form.problem.dictionary_stage(), form.weights.dictionary, precision, layout_.strides(), execution),
        input_dictionary_(*execution.allocator, layout_.bytes(), MemoryKind::workspace) {
    check(cudaMemsetAsync(input_dictionary_.as<void>(), 0, layout_.bytes(), as_stream(execution.stream)), "zeroing the padding");
  }

  BakedKernel gather_;
  PaddedLayout layout_;
  DictionaryStage dictionary_;
  Buffer input_dictionary_;  // S
};

}  // namespace

const Variant baked_gather{
    .name = "baked_gather",
    .device = Device::cuda,
    .why_unsupported = [](const LookupProblem& problem, Precision precision,
                          Layout layout) { return why_not_baked(problem, precision, layout, /*fused=*/false); },
    .prepare = prepare_as<BakedGather>};

}  // namespace lcnn::cuda
