// Sums over many terms that several blocks share: each block sees one split of the terms of some results.
#pragma once

#include <cstdint>

#include "kernels/cuda/training.h"

namespace lcnn::cuda {

// Where blocks leave the sums of their split: added to the result at once, or each split in a row of its own.
template <typename S>
struct SplitResult {
  S* values;
  std::int64_t pitch;  // between the rows of two splits; 0: one row for all, added to atomically

#ifdef __CUDACC__
  __device__ void put(unsigned split, std::int64_t at, S sum) const {
    if (pitch == 0) atomicAdd(values + at, sum);
    else values[split * pitch + at] = sum;
  }
#endif
};

// How `blocks` blocks' worth of results over `terms` terms each are split, and the memory for it.
template <typename S>
class SplitSums {
 public:
  // `result` [elements] is written when finish() has been enqueued behind the kernel that puts the sums.
  SplitSums(S* result, std::int64_t elements, std::int64_t blocks, std::int64_t terms, const TrainingExecution& execution);

  unsigned splits() const { return splits_; }
  SplitResult<S> result() const;
  void finish() const;

 private:
  S* result_;
  std::int64_t elements_;
  TrainingExecution execution_;
  unsigned splits_;
  Buffer partial_;  // [splits, elements], where several splits must be added in a fixed order
};

}  // namespace lcnn::cuda
