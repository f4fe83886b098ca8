// S = conv(X, D) for a 1x1 dictionary where X is channels-last and images lie side by side in S.
#pragma once

#include <span>
#include <string>

#include "kernels/cuda/padded_layout.h"
#include "kernels/variant.h"

namespace lcnn::cuda {

// Source: paper eq. 4.
class BatchDictionary {
 public:
  // `stage` is a LookupProblem's dictionary_stage(); `dictionary` is D [dictionary_size, C], rounded to `precision`. S is
  // stored with an image stride of 1 and an origin and other strides of an even number of elements.
  BatchDictionary(const Conv2dProblem& stage, std::span<const float> dictionary, Precision precision,
                  const InputDictionaryStrides& strides, const Execution& execution);

  // Writes S and nothing beside it but, where the batch is odd, an image behind the last one. Enqueues on `stream`; allocates nothing.
  void run(const void* x, void* s, void* stream) const;

  // The tile that was chosen, for the report.
  std::string choice() const;

  // Why a stage cannot be computed, in one sentence; empty when it can.
  static std::string why_unsupported(const Conv2dProblem& stage, Precision precision);

 private:
  Conv2dProblem stage_;
  Precision precision_;
  InputDictionaryStrides strides_;
  int entry_tiles_ = 1;  // of 16, that a warp sums
  Buffer dictionary_;    // D in the order in which lanes read it
};

}  // namespace lcnn::cuda
