#include "profiles/counters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace lcnn::profiles {
namespace {

TEST(Counters, EveryOneIsListedOnce) {
  std::set<std::string> names, cupti_names;
  Counters counters;
  for (const CounterMetric& metric : counter_metrics()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    EXPECT_TRUE(cupti_names.insert(metric.cupti_name).second) << metric.cupti_name;
    EXPECT_FALSE(counters.*metric.value) << metric.name << " shares its place with another";
    counters.*metric.value = 1;
  }
  EXPECT_EQ(names.size() * sizeof(std::optional<double>), sizeof(Counters)) << "a counter that nothing fills";
}

TEST(Counters, CountsAreSharedOutToRunsAndPercentagesAreNot) {
  const Counters counters{.duration_ns = 1000, .dram_read_bytes = 400, .dram_write_bytes = 80, .dram_percent = 50, .l2_bytes = 800};
  const Counters one = counters.of_one(4);
  EXPECT_EQ(one.duration_ns, 250);
  EXPECT_EQ(one.dram_read_bytes, 100);
  EXPECT_EQ(one.dram_bytes(), 120);
  EXPECT_EQ(one.dram_percent, 50);
  EXPECT_EQ(one.l2_bytes, 200);
  EXPECT_FALSE(one.shared_wavefronts);
  EXPECT_FALSE(Counters{.dram_read_bytes = 1}.dram_bytes()) << "half of the sum is not the sum";
}

TEST(Counters, OfKernelsTogetherCountsAddUpAndPercentagesAreWeightedByDuration) {
  const std::vector<Counters> kernels{{.duration_ns = 100, .dram_read_bytes = 5, .dram_percent = 80, .l2_bytes = 1},
                                      {.duration_ns = 300, .dram_read_bytes = 7, .dram_percent = 40}};
  const Counters sum = together(kernels);
  EXPECT_EQ(sum.duration_ns, 400);
  EXPECT_EQ(sum.dram_read_bytes, 12);
  EXPECT_EQ(sum.dram_percent, 50);
  EXPECT_FALSE(sum.l2_bytes) << "one of them lacks it";
  EXPECT_FALSE(together({}).duration_ns);
}

TEST(Counters, TextHasWhatThereIs) {
  EXPECT_EQ(to_text(Counters{}), "");
  EXPECT_EQ(to_text(Counters{.duration_ns = 12345, .dram_read_bytes = 1.5e6, .dram_percent = 44.6, .occupancy_percent = 61,
                             .shared_wavefronts = 2000, .shared_conflicts = 500}),
            "12.3 us, DRAM read 1.5 MB, DRAM busy 45%, occupancy 61%, bank conflicts 500 of 2e+03 wavefronts");
}

TEST(Counters, JsonHasNullForWhatIsAbsent) {
  const nlohmann::ordered_json json = to_json(Counters{.l2_bytes = 3});
  EXPECT_EQ(json.size(), counter_metrics().size());
  EXPECT_EQ(json["l2_bytes"], 3.0);
  EXPECT_TRUE(json["dram_percent"].is_null());
}

TEST(Counters, BytesAreShownInPowersOfTen) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1500), "1.5 kB");
  EXPECT_EQ(bytes_text(2.5e9), "2.5 GB");
  EXPECT_EQ(bytes_text(7e15), "7e+03 TB");
}

}  // namespace
}  // namespace lcnn::profiles
