// The referee: what is wrong is never timed, and what is timed is compared with the fastest correct baseline.
#include "bench/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "bench/options.h"
#include "bench/statistics.h"
#include "bench/test_support.h"
#include "kernels/reference.h"

namespace lcnn::bench {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

enum class Fault { none, slow, scaled, unwritten, prepare_throws, run_throws };

// The layer, or the Conv2d that it stands for, by the reference itself; `kFault` is what is wrong with it.
template <VariantKind kKind, Fault kFault>
class ByReference final : public PreparedConvolution {
 public:
  ByReference(const LookupProblem& problem, const LookupWeights& weights, Precision precision, Layout,
              const Execution&)
      : problem_(problem), weights_(weights), dense_(dense_weights(problem, weights, precision)) {
    if (kFault == Fault::prepare_throws) throw std::runtime_error("no engine for it\nbacktrace");
  }

  void run(const void* x, void* y, void*) override {
    if (kFault == Fault::run_throws) throw std::runtime_error("an engine broke");
    if (kFault == Fault::unwritten) return;
    for (int repeat = 0; repeat < (kFault == Fault::slow ? 40 : 1); ++repeat) compute(x, y);
  }

 private:
  void compute(const void* x, void* y) const {
    const auto* first = static_cast<const float*>(x);
    const std::vector<double> input(first, first + problem_.conv.input_elements());
    const std::vector<double> output =
        kKind == VariantKind::conv2d ? reference_conv2d(problem_.conv, input, dense_.weight, dense_.bias)
                                     : reference_lookup_conv2d(problem_, weights_, input);
    const double factor = kFault == Fault::scaled ? 1.001 : 1.0;
    std::ranges::transform(output, static_cast<float*>(y),
                           [factor](double value) { return static_cast<float>(value * factor); });
  }

  LookupProblem problem_;
  LookupWeights weights_;
  DenseWeights dense_;
};

template <VariantKind kKind, Fault kFault>
const Variant kVariant{
    .name = "by_reference",
    .kind = kKind,
    .device = Device::cpu,
    .computes = kKind == VariantKind::conv2d ? Computes::dense_weights : Computes::lookups,
    .why_unsupported = [](const LookupProblem&, Precision, Layout) { return std::string(); },
    .prepare = prepare_as<ByReference<kKind, kFault>>};

template <Fault kFault>
const Variant& kLookup = kVariant<VariantKind::lookup, kFault>;
template <Fault kFault>
const Variant& kConv2d = kVariant<VariantKind::conv2d, kFault>;

class Comparing : public testing::Test {
 protected:
  std::vector<Row> measure(const std::vector<std::pair<std::string, const Variant*>>& rows,
                           const Observer& observer = {}) {
    Group group{
        .layer = {
            .set = "mine",
            .name = "small",
            .conv =
                {.batch = 1, .in_channels = 4, .height = 5, .width = 6, .out_channels = 3, .kernel = {3, 3}},
            .dictionaries = {sized_dictionary(4, 1)}}};
    for (const auto& [name, variant] : rows) group.rows.push_back({.name = name, .variant = variant});
    return measure_group(*session_, group, {.copy_bytes_per_s = 1e10, .fma_per_s = 1e10}, options_, observer);
  }

  std::unique_ptr<Session> session_ = Session::open(Device::cpu, 1);
  MeasureOptions options_{
      .mode = TimingMode::hot, .min_seconds = 0, .max_seconds = 0.01, .min_samples = 3, .max_samples = 5};
};

TEST_F(Comparing, CorrectRowsAreTimedAndComparedWithTheFastestBaseline) {
  const std::vector<Row> rows = measure({{"slow", &kConv2d<Fault::slow>}, {"library", &kConv2d<Fault::none>},
                                         {"lookup", &kLookup<Fault::none>}});
  ASSERT_EQ(rows.size(), 3u);
  ASSERT_TRUE(rows[0].measured() && rows[1].measured());
  const Row& fastest = rows[0].timing->median_us < rows[1].timing->median_us ? rows[0] : rows[1];
  for (const Row& row : rows) {
    ASSERT_TRUE(row.measured()) << row.name << ": " << row.reason;
    EXPECT_EQ(row.reason, "");
    EXPECT_LE(row.verification->rel_err, row.verification->tolerance);
    ASSERT_GE(row.timing->samples_us.size(), 3u);
    EXPECT_DOUBLE_EQ(row.timing->median_us, median(row.timing->samples_us));
    EXPECT_EQ(row.memory->input, 1 * 4 * 5 * 6 * 4);
    EXPECT_EQ(row.memory->output, 1 * 3 * 3 * 4 * 4);
    EXPECT_EQ(row.baseline, fastest.name);
    EXPECT_DOUBLE_EQ(*row.speedup, fastest.timing->median_us / row.timing->median_us);
    EXPECT_DOUBLE_EQ(row.roofline->share, row.roofline->limit_us / row.timing->median_us);
  }
}

TEST_F(Comparing, ProfiledRowsAreRecordedMarkedAndComparedWithNone) {
  Profiling profiling({}, Device::cpu);
  options_.profiling = &profiling;
  const std::vector<Row> rows = measure({{"library", &kConv2d<Fault::none>}, {"lookup", &kLookup<Fault::none>}});
  for (const Row& row : rows) {
    ASSERT_TRUE(row.measured()) << row.reason;
    ASSERT_TRUE(row.profiled);
    EXPECT_GT(row.profiled->unprofiled_median_us, 0);
    EXPECT_DOUBLE_EQ(row.profiled->overhead, row.timing->median_us / row.profiled->unprofiled_median_us - 1);
    EXPECT_EQ(row.baseline, "");
    EXPECT_FALSE(row.speedup || row.memory_ratio || row.regret);
  }
  const profiles::Profile& profile = profiling.session().recorder().profile();
  const profiles::Nesting nesting = profiles::nest(profile);
  std::map<std::string, std::map<std::string, std::size_t>> phases;
  for (std::size_t i = 0; i < profile.host.size(); ++i) {
    if (nesting.parent[i] == profiles::kNoParent) continue;
    ++phases[profile.names[profile.host[nesting.parent[i]].name]][profile.names[profile.host[i].name]];
  }
  for (const Row& row : rows) {
    EXPECT_EQ(phases[row.name], (std::map<std::string, std::size_t>{
                                    {"prepare", 1}, {"warm-up", 1}, {"measure", row.timing->samples_us.size()}}));
  }
  EXPECT_EQ(profiling.session().why_incomplete(), "");
  for (const Row& row : rows) {
    const profiles::Counted& counted = profiling.session().counted(row.name);
    EXPECT_DOUBLE_EQ(counted.time_ns, row.profiled->unprofiled_median_us * 1e3);
    EXPECT_DOUBLE_EQ(counted.least.write_bytes, static_cast<double>(row.memory->output));
    EXPECT_DOUBLE_EQ(counted.least.time_ns, row.roofline->limit_us * 1e3);
  }
}

TEST_F(Comparing, ARowMayBeFourTimesAsFarOffAsTheBaseline) {
  const std::vector<Row> rows =
      measure({{"library", &kConv2d<Fault::none>}, {"lookup", &kLookup<Fault::none>}});
  EXPECT_DOUBLE_EQ(rows.at(1).verification->tolerance, 4 * rows.at(0).verification->rel_err);
  EXPECT_EQ(rows.at(1).verification->tolerance_from, "library");
  EXPECT_EQ(rows.at(0).verification->tolerance_from, "precision");
}

TEST_F(Comparing, WhatIsWrongIsNeverTimed) {
  const std::vector<Row> rows =
      measure({{"library", &kConv2d<Fault::none>}, {"scaled", &kLookup<Fault::scaled>}});
  const Row& row = rows.at(1);
  EXPECT_EQ(row.disposition, Disposition::incorrect);
  EXPECT_NEAR(row.verification->rel_err, 1e-3, 1e-6);
  EXPECT_THAT(row.reason, StartsWith("rel_err 1.00e-03 is above the tolerance"));
  EXPECT_FALSE(row.timing.has_value());
  EXPECT_FALSE(row.speedup.has_value());
  EXPECT_TRUE(rows.at(0).measured()) << "another row's fault is not the baseline's";
}

TEST_F(Comparing, OutputThatIsNotWrittenIsFound) {
  const Row row =
      measure({{"library", &kConv2d<Fault::none>}, {"unwritten", &kLookup<Fault::unwritten>}}).at(1);
  EXPECT_EQ(row.disposition, Disposition::incorrect);
  EXPECT_EQ(row.verification->non_finite, 3 * 3 * 4);
  EXPECT_THAT(row.reason, HasSubstr("36 elements of the output are not finite"));
  EXPECT_FALSE(row.timing.has_value());
}

TEST_F(Comparing, WhatThrowsIsARowWithOneLineOfReason) {
  const std::vector<Row> rows =
      measure({{"library", &kConv2d<Fault::none>}, {"unprepared", &kLookup<Fault::prepare_throws>},
               {"broken", &kLookup<Fault::run_throws>}, {"lookup", &kLookup<Fault::none>}});
  EXPECT_EQ(rows.at(1).disposition, Disposition::error);
  EXPECT_EQ(rows.at(1).reason, "no engine for it");
  EXPECT_EQ(rows.at(2).disposition, Disposition::error);
  EXPECT_EQ(rows.at(2).reason, "an engine broke");
  EXPECT_TRUE(rows.at(3).measured()) << "later rows are measured all the same";
}

TEST_F(Comparing, AWrongBaselineIsNoBaseline) {
  // Far beyond what fp32 allows a library.
  const std::vector<Row> rows =
      measure({{"wrong", &kConv2d<Fault::scaled>}, {"lookup", &kLookup<Fault::none>}});
  EXPECT_EQ(rows.at(0).disposition, Disposition::incorrect);
  EXPECT_TRUE(rows.at(1).measured());
  EXPECT_EQ(rows.at(1).verification->tolerance_from, "precision");
  EXPECT_EQ(rows.at(1).baseline, "");
  EXPECT_FALSE(rows.at(1).speedup.has_value());
}

TEST_F(Comparing, WhatIsNotSupportedSaysWhy) {
  Variant picky = kLookup<Fault::none>;
  picky.why_unsupported = [](const LookupProblem&, Precision, Layout) {
    return std::string("only on Sundays");
  };
  const Row row = measure({{"library", &kConv2d<Fault::none>}, {"picky", &picky}}).at(1);
  EXPECT_EQ(row.disposition, Disposition::unsupported);
  EXPECT_EQ(row.reason, "only on Sundays");
  EXPECT_FALSE(row.verification.has_value());
}

TEST_F(Comparing, AStopKeepsNothingOfTheGroup) {
  int asked = 0;
  const Observer observer{.stop = [&] { return ++asked > 3; }};
  EXPECT_THROW(measure({{"library", &kConv2d<Fault::none>}, {"lookup", &kLookup<Fault::none>}}, observer),
               Interrupted);
}

TEST(RooflineOfRow, IsTheLongerOfBytesAndOperations) {
  Row row = measured_row(VariantKind::lookup, "quick", 20);  // 6000 bytes; 1920 + 8640 operations
  const Roofline by_bytes = roofline(row, {.copy_bytes_per_s = 1e9, .fma_per_s = 1e10});
  EXPECT_EQ(by_bytes.bound, "bytes");
  EXPECT_DOUBLE_EQ(by_bytes.limit_us, 6.0);
  EXPECT_DOUBLE_EQ(by_bytes.share, 0.3);
  const Roofline by_operations = roofline(row, {.copy_bytes_per_s = 1e10, .fma_per_s = 1e9});
  EXPECT_EQ(by_operations.bound, "operations");
  EXPECT_DOUBLE_EQ(by_operations.limit_us, 10.56);
}

TEST(RooflineOfRow, CountsTheOperationsOfWhatTheRowComputes) {
  Row row = measured_row(VariantKind::conv2d, "library", 20);
  const MachineLimits limits{.copy_bytes_per_s = 1e12, .fma_per_s = 1e9, .fp16_mac_per_s = 1e10};
  EXPECT_DOUBLE_EQ(roofline(row, limits).limit_us, 69.12);
  row.precision = Precision::fp16;
  EXPECT_DOUBLE_EQ(roofline(row, limits).limit_us, 6.912);
  row.computes = Computes::pruned_2_4;
  EXPECT_DOUBLE_EQ(roofline(row, limits).limit_us, 3.456);
  row.computes = Computes::lookups;  // the dictionary on matrix units, lookups two to an fma
  EXPECT_DOUBLE_EQ(roofline(row, limits).limit_us, 0.192 + 4.32);
  row.operations.lookups *= 10;  // the filters they stand for are less work
  EXPECT_DOUBLE_EQ(roofline(row, limits).limit_us, 6.912);
}

TEST(MemoryDifference, NamesTheItemThatDiffersMost) {
  constexpr std::int64_t kMegabyte = 1 << 20;
  const Memory baseline{.weights = 5 * kMegabyte, .input = 7, .output = 9, .workspace = 12 * kMegabyte};
  Memory memory = baseline;
  EXPECT_EQ(largest_memory_difference(memory, baseline), "no item differs");
  memory.weights = kMegabyte;
  EXPECT_EQ(largest_memory_difference(memory, baseline), "weights: 1.00 MB against 5.00 MB");
  memory.prepared = 6 * kMegabyte;
  EXPECT_EQ(largest_memory_difference(memory, baseline), "prepared data: 6.00 MB against 0.00 MB");
  memory.workspace = 0;
  EXPECT_EQ(largest_memory_difference(memory, baseline), "workspace: 0.00 MB against 12.00 MB");
}

}  // namespace
}  // namespace lcnn::bench
