// The networks of train/ as lcnn_bench measures their training.
#pragma once

#include "bench/training.h"

namespace lcnn::bench {

class NetworkSteps final : public TrainingNetworks {
 public:
  std::vector<std::string> names() const override;
  std::vector<TrainingMethod> methods() const override;
  std::unique_ptr<TrainingStep> prepare(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun& run) const override;
  lcnn::Comparison verify(const TrainingGroup& group, const TrainingRowPlan& row, const TrainingRun& run) const override;
};

}  // namespace lcnn::bench
