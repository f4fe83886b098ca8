#include "train/schedule.h"

#include <gtest/gtest.h>

namespace lcnn::train {
namespace {

TEST(Schedule, CosineFallsFromTheRateToZero) {
  const Schedule schedule{.kind = ScheduleKind::cosine, .learning_rate = 0.4, .epochs = 10, .warmup_epochs = 2};
  EXPECT_DOUBLE_EQ(schedule.at(2), 0.4);
  EXPECT_DOUBLE_EQ(schedule.at(6), 0.2);
  EXPECT_NEAR(schedule.at(10), 0.0, 1e-12);
  EXPECT_NEAR(schedule.at(12), 0.0, 1e-12);
}

TEST(Schedule, WarmUpRisesLinearlyWhateverFollows) {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::step}) {
    const Schedule schedule{.kind = kind, .learning_rate = 0.4, .epochs = 10, .warmup_epochs = 2, .step_epochs = 4};
    EXPECT_DOUBLE_EQ(schedule.at(0), 0.0) << static_cast<int>(kind);
    EXPECT_DOUBLE_EQ(schedule.at(0.5), 0.1) << static_cast<int>(kind);
  }
}

TEST(Schedule, AValueIsWarmedUpFromZeroToItself) {
  EXPECT_DOUBLE_EQ(warmed_up(3, 0, 2), 0.0);
  EXPECT_DOUBLE_EQ(warmed_up(3, 0.5, 2), 0.75);
  EXPECT_DOUBLE_EQ(warmed_up(3, 2, 2), 3.0);
  EXPECT_DOUBLE_EQ(warmed_up(3, 9, 2), 3.0);
  EXPECT_DOUBLE_EQ(warmed_up(3, 0, 0), 3.0);
}

TEST(Schedule, StepMultipliesAfterEverySoManyEpochs) {
  const Schedule schedule{.kind = ScheduleKind::step, .learning_rate = 1, .epochs = 10, .step_epochs = 3, .step_factor = 0.5};
  EXPECT_DOUBLE_EQ(schedule.at(2.9), 1.0);
  EXPECT_DOUBLE_EQ(schedule.at(3), 0.5);
  EXPECT_DOUBLE_EQ(schedule.at(6), 0.25);
}

}  // namespace
}  // namespace lcnn::train
