// Conv2d on CUDA at its best, dense_filters by it, and the peer that uses two of them: cuDNN's graph API over every engine.
#include "kernels/cuda/cudnn_convolution.h"
#include "variants/variant_table.h"

namespace lcnn::cuda {
namespace {

class Conv2dCudnn final : public PreparedConvolution {
 public:
  Conv2dCudnn(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
              const Execution& execution)
      : Conv2dCudnn(problem.conv, dense_weights(problem, weights, precision), precision, layout, execution) {}

  void run(const void* x, void* y, void* stream) override { convolution_.run(x, y, stream); }
  std::string choice() const override { return convolution_.choice(); }

 private:
  Conv2dCudnn(const Conv2dProblem& problem, const DenseWeights& dense, Precision precision, Layout layout,
              const Execution& execution)
      : convolution_(problem, dense.weight, dense.bias, precision, layout, execution) {}

  CudnnConvolution convolution_;
};

class TwoConvolutions final : public PreparedConvolution {
 public:
  TwoConvolutions(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout layout,
                  const Execution& execution)
      : dictionary_(problem.dictionary_stage(), weights.dictionary, {}, precision, layout, execution),
        lookups_(problem.lookup_stage(), dense_lookups(problem, weights.lookups), weights.bias, precision, layout,
                 execution),
        input_dictionary_(*execution.allocator,
                          problem.dictionary_stage().output_elements() * element_bytes(precision),
                          MemoryKind::workspace) {}

  void run(const void* x, void* y, void* stream) override {
    dictionary_.run(x, input_dictionary_.as<void>(), stream);
    lookups_.run(input_dictionary_.as<void>(), y, stream);
  }
  std::string choice() const override { return dictionary_.choice() + "; " + lookups_.choice(); }

 private:
  CudnnConvolution dictionary_, lookups_;
  Buffer input_dictionary_;  // S [batch, dictionary_size, H', W']
};

std::string supported(const LookupProblem&, Precision, Layout) { return {}; }

}  // namespace

const Variant dense_filters{.name = kDenseVariant, .device = Device::cuda, .why_unsupported = supported, .prepare = prepare_as<Conv2dCudnn>};

const Variant conv2d_cudnn{.name = "cudnn",
                           .kind = VariantKind::conv2d,
                           .device = Device::cuda,
                           .computes = Computes::dense_weights,
                           .why_unsupported = supported,
                           .prepare = prepare_as<Conv2dCudnn>};

const Variant two_convolutions{.name = "two_convolutions",
                               .kind = VariantKind::peer,
                               .device = Device::cuda,
                               .why_unsupported = supported,
                               .prepare = prepare_as<TwoConvolutions>};

}  // namespace lcnn::cuda
