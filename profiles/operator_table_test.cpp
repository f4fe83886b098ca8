#include "profiles/operator_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>

#include "profiles/test_support.h"

namespace lcnn::profiles {
namespace {

using testing::HasSubstr;
using testing::Not;

const TableRow& row(const OperatorTable& table, const std::string& name) {
  for (const TableRow& row : table.rows) {
    if (row.name == name) return row;
  }
  throw std::out_of_range(name);
}

class OperatorTableOfExample : public testing::Test {
 protected:
  OperatorTableOfExample() {
    fill_example(profile_);
    table_ = tabulate(profile_);
  }
  Profile profile_;
  OperatorTable table_;
};

TEST_F(OperatorTableOfExample, HostTimesAreOwnAndTotal) {
  EXPECT_EQ(row(table_, "row").cpu_total_ns, 2000);
  EXPECT_EQ(row(table_, "row").self_cpu_ns, 2000 - 1050);
  EXPECT_EQ(row(table_, "measure").self_cpu_ns, 1050 - 600 - 200);
  EXPECT_EQ(row(table_, "aten::conv2d").cpu_total_ns, 600);
  EXPECT_EQ(row(table_, "aten::conv2d").self_cpu_ns, 400);
  EXPECT_EQ(row(table_, "cudaLaunchKernel").self_cpu_ns, 200);
  EXPECT_EQ(row(table_, "cudaLaunchKernel").calls, 2);
}

TEST_F(OperatorTableOfExample, DeviceTimeGoesToTheOperatorAndTheRangesThatLaunchedIt) {
  EXPECT_EQ(row(table_, "aten::conv2d").self_cuda_ns, 2000);
  EXPECT_EQ(row(table_, "aten::conv2d").cuda_total_ns, 2000);
  EXPECT_EQ(row(table_, "measure").self_cuda_ns, 400) << "the graph's two nodes";
  EXPECT_EQ(row(table_, "measure").cuda_total_ns, 2400);
  EXPECT_EQ(row(table_, "row").self_cuda_ns, 0);
  EXPECT_EQ(row(table_, "row").cuda_total_ns, 2400);
  EXPECT_EQ(row(table_, "cudaLaunchKernel").cuda_total_ns, 0);
  EXPECT_EQ(row(table_, "aten::add").cuda_total_ns, 0);
  EXPECT_EQ(row(table_, "conv<half>").self_cuda_ns, 2000);
  EXPECT_EQ(row(table_, "conv<half>").calls, 2);
  EXPECT_EQ(row(table_, "unknown launcher").self_cuda_ns, 50);
}

TEST_F(OperatorTableOfExample, SelfTimesAddUpToTheTotals) {
  std::int64_t host_cpu = 0, host_cuda = 0, device_cuda = 0;
  for (const TableRow& row : table_.rows) {
    const bool host = row.kind == "range" || row.kind == "operator" || row.kind == "cuda_call";
    host_cpu += row.self_cpu_ns;
    (host ? host_cuda : device_cuda) += row.self_cuda_ns;
  }
  EXPECT_EQ(host_cpu, table_.cpu_total_ns);
  EXPECT_EQ(table_.cpu_total_ns, 2000 + 100);
  EXPECT_EQ(device_cuda, table_.cuda_total_ns);
  EXPECT_EQ(host_cuda, table_.cuda_total_ns - 50) << "all but the kernel whose launch was not recorded";
}

TEST(OperatorTable, ANameInsideItselfCountsOnceInTotals) {
  Profile profile;
  add_host(profile, HostKind::cuda_call, "cudaLaunchKernel", 20, 30, 1);
  add_host(profile, HostKind::operator_call, "aten::to", 10, 50);
  add_host(profile, HostKind::operator_call, "aten::to", 0, 100);
  add_device(profile, DeviceKind::kernel, "k", 40, 47, 1);
  const OperatorTable table = tabulate(profile);
  EXPECT_EQ(row(table, "aten::to").cpu_total_ns, 100);
  EXPECT_EQ(row(table, "aten::to").self_cpu_ns, 90);
  EXPECT_EQ(row(table, "aten::to").cuda_total_ns, 7);
  EXPECT_EQ(row(table, "aten::to").self_cuda_ns, 7);
  EXPECT_EQ(row(table, "aten::to").calls, 2);
}

TEST(OperatorTable, DeviceTimeOfTheBackwardPassCountsForTheRangeThatWaitsForIt) {
  Profile profile;
  add_host(profile, HostKind::range, "backward", 100, 200);
  add_host(profile, HostKind::cuda_call, "cudaLaunchKernel", 125, 130, 1, /*thread=*/2);
  add_host(profile, HostKind::operator_call, "aten::mm", 120, 150, 0, /*thread=*/2);
  add_device(profile, DeviceKind::kernel, "gemm", 140, 190, 1);
  const OperatorTable table = tabulate(profile);
  EXPECT_EQ(row(table, "backward").cuda_total_ns, 50);
  EXPECT_EQ(row(table, "backward").self_cuda_ns, 0);
  EXPECT_EQ(row(table, "aten::mm").self_cuda_ns, 50);
  EXPECT_EQ(row(table, "backward").self_cpu_ns, 100) << "threads keep their own CPU time";
}

TEST_F(OperatorTableOfExample, IsSortedAndCutAsAsked) {
  sort_by(table_, "cuda_total");
  EXPECT_EQ(table_.rows.front().cuda_total_ns, 2400);
  for (std::size_t i = 1; i < table_.rows.size(); ++i) {
    EXPECT_GE(table_.rows[i - 1].cuda_total_ns, table_.rows[i].cuda_total_ns);
  }
  sort_by(table_, "calls");
  EXPECT_EQ(table_.rows.front().calls, 2);
  sort_by(table_, "name");
  EXPECT_EQ(table_.rows.front().name, "aten::add");
  const std::string text = to_text(table_, 2);
  EXPECT_THAT(text, HasSubstr("aten::conv2d"));
  EXPECT_THAT(text, Not(HasSubstr("measure")));
  EXPECT_THAT(text, HasSubstr("(8 more)"));
}

TEST_F(OperatorTableOfExample, UnknownColumnsAreRefusedByName) {
  try {
    sort_by(table_, "gpu");
    FAIL() << "was accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("gpu"));
    for (const std::string& column : sort_columns()) EXPECT_THAT(error.what(), HasSubstr(column));
  }
}

TEST_F(OperatorTableOfExample, TextHasTheColumnsOfPyTorchsProfiler) {
  const std::string text = to_text(table_, 100);
  std::size_t at = 0;
  for (const char* column : {"Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg",
                             "Self CUDA", "Self CUDA %", "CUDA total", "CUDA time avg", "# of Calls"}) {
    at = text.find(column, at);
    ASSERT_NE(at, std::string::npos) << column;
    ++at;
  }
  EXPECT_THAT(text, HasSubstr("Self CUDA time total: 2.450us"));
}

TEST_F(OperatorTableOfExample, JsonHasTheSameNumbers) {
  const nlohmann::ordered_json json = to_json(table_);
  ASSERT_EQ(json["rows"].size(), table_.rows.size());
  EXPECT_DOUBLE_EQ(json["self_cuda_time_total_us"], 2.45);
  for (const auto& entry : json["rows"]) {
    if (entry["name"] != "aten::conv2d") continue;
    EXPECT_EQ(entry["kind"], "operator");
    EXPECT_DOUBLE_EQ(entry["cpu_total_us"], 0.6);
    EXPECT_DOUBLE_EQ(entry["cpu_total_percent"], 100.0 * 600 / 2100);
    EXPECT_DOUBLE_EQ(entry["cuda_time_avg_us"], 2.0);
    EXPECT_EQ(entry["calls"], 1);
    return;
  }
  FAIL() << "aten::conv2d has no row";
}

TEST(OperatorTable, AnEmptyProfileHasAnEmptyTable) {
  const OperatorTable table = tabulate(Profile());
  EXPECT_TRUE(table.rows.empty());
  EXPECT_THAT(to_text(table, 10), HasSubstr("Self CPU time total: 0.000us"));
}

}  // namespace
}  // namespace lcnn::profiles
