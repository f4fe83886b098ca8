// P by dictionary entry: which lookups read entry e, in the order of the table.
#pragma once

#include <cstdint>

#include "kernels/cuda/training.h"

namespace lcnn::cuda {

class LookupsByEntry {
 public:
  // `indices` [lookups] on the device. Only enqueues on the execution's stream; the order is one, whatever the schedule.
  LookupsByEntry(const std::int32_t* indices, std::int64_t lookups, std::int64_t dictionary_size, const TrainingExecution& execution);

  // [dictionary_size + 1]: entry e's lookups are order[offsets[e]], ..., order[offsets[e + 1] - 1].
  const int* offsets() const { return offsets_.as<int>(); }
  const int* order() const { return order_.as<int>(); }

 private:
  Buffer offsets_, order_;
};

}  // namespace lcnn::cuda
