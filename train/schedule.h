// The courses of the learning rate and of lambda over a training.
#pragma once

namespace lcnn::train {

// A value that rises linearly from 0 in the first epochs of a training; fractions of epochs count.
double warmed_up(double value, double epoch, double warmup_epochs);

enum class ScheduleKind { constant, cosine, step };

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double learning_rate = 0.1;
  double epochs = 1;         // cosine: the rate is 0 at their end
  double warmup_epochs = 0;  // the rate rises linearly from 0 at the start
  double step_epochs = 1;    // step: the rate is multiplied by `step_factor` after every so many epochs
  double step_factor = 0.1;

  // The rate after so many epochs; fractions of epochs count.
  double at(double epoch) const;
};

}  // namespace lcnn::train
