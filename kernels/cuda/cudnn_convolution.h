// A dense convolution by cuDNN's graph API, with every engine configuration that it offers tried at preparation.
//
// Source: cuDNN's graph API through cudnn-frontend (docs.nvidia.com/deeplearning/cudnn/frontend). Used as the
// Conv2d baseline, for the dictionary stage, and for both stages of the peer that runs two library convolutions.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "kernels/variant.h"

namespace lcnn::cuda {

class CudnnConvolution {
 public:
  // weight is W [out_channels, in_channels / groups, kh, kw], bias [out_channels] or empty; both are uploaded as
  // MemoryKind::weights in `precision` and `layout`. fp32 is strict: engines that use matrix units or narrower
  // inputs are left out; tf32 takes fp32 data and lets every engine compete. Tries the heuristics' configurations,
  // the fallback list and every other engine's default one, with the bias fused and as a pass of its own, and
  // keeps the fastest on random data, timed as reports time rows: graph replays over rotated buffers; of fp32 plans the fastest whose result
  // agrees with the float64 reference, as some sum by transforms that lose half of the digits and say so nowhere. With Tuning::none,
  // the first that can be built. Throws Unsupported when cuDNN offers none, std::runtime_error when none that it offers is right.
  CudnnConvolution(const Conv2dProblem& problem, std::span<const float> weight, std::span<const float> bias,
                   Precision precision, Layout layout, const Execution& execution);
  ~CudnnConvolution();

  // x and y in `precision` and `layout`. Enqueues on `stream`; allocates nothing.
  void run(const void* x, void* y, void* stream);

  // cuDNN's name of the chosen plan (engine and knobs), and how many were tried.
  std::string choice() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace lcnn::cuda
