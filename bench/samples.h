// The samples of one row while it is timed: when there are enough, and what they say.
#pragma once

#include <optional>
#include <vector>

#include "bench/row.h"
#include "bench/session.h"

namespace lcnn::bench {

struct MeasureOptions;

class Samples {
 public:
  // A sample of so many microseconds a run, which took `seconds`, and what the clocks were behind it.
  void add(double us, double seconds, const std::optional<ClockReading>& clocks);
  // Whether the median is as certain as the options ask, or their patience is at its end.
  bool enough(const MeasureOptions& options) const;

  Timing timing(const MeasureOptions& options, std::int64_t runs_per_sample) const;
  std::optional<Clocks> clocks() const;  // absent where the device does not tell

 private:
  std::vector<double> us_;
  double seconds_ = 0;
  std::vector<ClockReading> clocks_;
};

}  // namespace lcnn::bench
