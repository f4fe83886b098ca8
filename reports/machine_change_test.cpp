#include "reports/machine_change.h"

#include <cmath>

#include "reports/reports_test_support.h"

namespace lcnn::reports {
namespace {

Row conv2d(const std::string& name, double time) {
  Row row = measured(name, std::vector<double>(9, time));
  row.kind = "conv2d";
  row.layer = "layer";
  return row;
}

TEST(MachineChangeTest, TheOtherConv2dRowsOfTheGroup) {
  Row lookup = measured("lookup", std::vector<double>(9, 5.0));
  lookup.layer = "layer";
  const Report base{.rows = {conv2d("a", 10), conv2d("b", 20), conv2d("c", 30), lookup}};
  const Report now{.rows = {conv2d("a", 11), conv2d("b", 24), conv2d("c", 39), lookup}};
  const MachineChange machine(base, now);
  EXPECT_DOUBLE_EQ(machine.beside(lookup).value(), 1.2);
  EXPECT_DOUBLE_EQ(machine.beside(base.rows[0]).value(), 1.25);  // itself left out
  EXPECT_EQ(machine.scatter(), 0);                               // three rows are too few
  lookup.layer = "another";
  EXPECT_EQ(machine.beside(lookup), std::nullopt);
}

TEST(MachineChangeTest, ScatterIsAStandardDeviationThatOutliersDoNotDecide) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(0, 0.02);
  Report base, now;
  for (int i = 0; i < 200; ++i) {
    base.rows.push_back(conv2d(fmt::format("{}", i), 10));
    now.rows.push_back(conv2d(fmt::format("{}", i), i % 20 == 0 ? 30 : 10 * std::exp(normal(random))));
  }
  EXPECT_NEAR(MachineChange(base, now).scatter(), 0.02, 0.005);
}

TEST(MachineChangeTest, AnotherLibraryIsNoWitness) {
  const Report base{.context = {{"device/cudnn", "91900"}}, .rows = {conv2d("a", 10), conv2d("b", 20)}};
  const Report now{.context = {{"device/cudnn", "92000"}}, .rows = base.rows};
  EXPECT_EQ(MachineChange(base, now).beside(base.rows[0]), std::nullopt);
}

}  // namespace
}  // namespace lcnn::reports
