#include "reports/change_points.h"

#include <gmock/gmock.h>

#include <random>

#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr double kQuantile = 4.5;

std::vector<double> levels(std::mt19937_64& random, double noise,
                           const std::vector<std::pair<std::size_t, double>>& steps) {
  std::normal_distribution<double> normal(0, noise);
  std::vector<double> values;
  for (const auto& [count, level] : steps) {
    for (std::size_t i = 0; i < count; ++i) values.push_back(level + normal(random));
  }
  return values;
}

TEST(ChangePointsTest, NoiseIsThatAroundTheLevels) {
  std::mt19937_64 random(1);
  const auto values = levels(random, 0.02, {{100, 1}, {100, 3}, {100, 2}});
  EXPECT_NEAR(noise_of(values), 0.02, 0.004);
}

TEST(ChangePointsTest, StepsAreFoundWhereTheyAre) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 100; ++i) {
    const auto values = levels(random, 0.01, {{10, 0}, {7, 0.2}, {2, -0.1}, {9, 0.1}});
    EXPECT_THAT(change_points(values, 0.01, kQuantile), ElementsAre(10, 17, 19));
  }
}

TEST(ChangePointsTest, TwoOfAKindAreALevelOneIsNot) {
  EXPECT_THAT(change_points(std::vector<double>{0, 0, 0, 0, 1, 1}, 0.01, kQuantile), ElementsAre(4));
  EXPECT_THAT(change_points(std::vector<double>{0, 0, 0, 0, 0, 1}, 0.01, kQuantile), IsEmpty());
  EXPECT_THAT(change_points(std::vector<double>{0, 0, 0, 1, 0, 0}, 0.01, kQuantile), IsEmpty());
  EXPECT_THAT(change_points(std::vector<double>{1, 0, 0, 0, 0, 0}, 0.01, kQuantile), IsEmpty());
  EXPECT_THAT(change_points(std::vector<double>{1, 1, 0, 0, 0, 0}, 0.01, kQuantile), ElementsAre(2));
  EXPECT_THAT(change_points(std::vector<double>{0, 1, 0}, 0.01, kQuantile), IsEmpty());
  EXPECT_THAT(change_points(std::vector<double>{}, 0.01, kQuantile), IsEmpty());
}

TEST(ChangePointsTest, NoiseHasNone) {
  std::mt19937_64 random(3);
  int alarms = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto values = levels(random, 0.01, {{30, 0}});
    alarms += !change_points(values, 0.01, kQuantile).empty();
  }
  EXPECT_LE(alarms, 2);  // 4.5: 7 in a million, for each of 30 places
}

}  // namespace
}  // namespace lcnn::reports
