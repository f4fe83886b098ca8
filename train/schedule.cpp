#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lcnn::train {

double warmed_up(double value, double epoch, double warmup_epochs) { return epoch < warmup_epochs ? value * epoch / warmup_epochs : value; }

double Schedule::at(double epoch) const {
  if (epoch < warmup_epochs) return warmed_up(learning_rate, epoch, warmup_epochs);
  switch (kind) {
    case ScheduleKind::constant: return learning_rate;
    case ScheduleKind::step: return learning_rate * std::pow(step_factor, std::floor(epoch / step_epochs));
    case ScheduleKind::cosine: break;
  }
  const double share = std::min(1.0, (epoch - warmup_epochs) / std::max(epochs - warmup_epochs, 1e-9));
  return learning_rate * 0.5 * (1.0 + std::cos(std::numbers::pi * share));
}

}  // namespace lcnn::train
